"""Write docs/reference/coverage.md: `python tests/coverage/write_page.py`, with --fields only the part about fields.

The part about RTL lines builds a machine that counts and runs the conformance suites on it: some minutes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import coverage_page
import field_coverage

__all__ = ["field_text", "line_text", "main"]


def field_text() -> tuple[str, list[str]]:
    """The page's part about fields, and its problems."""
    packets = {config: field_coverage.executed(config) for config in field_coverage.CONFIGS}
    table = [row for config, found in packets.items() for row in field_coverage.rows(config, found)]
    pairs = {config: field_coverage.combinations(found) for config, found in packets.items()}
    return coverage_page.field_part(table, pairs), field_coverage.problems(table, pairs)


def line_text() -> tuple[str, list[str]]:
    """The page's part about RTL lines, and its problems. Takes minutes."""
    import line_coverage  # it needs cocotb and the benches of tests/rtl

    measured = line_coverage.measure()
    why = line_coverage.reasons()
    unreached = [
        (p, line_coverage.source(p), why.get(line_coverage.key(p), "no reason known")) for p in measured.unreached
    ]
    text = coverage_page.line_part(measured.all, measured.by_bench, unreached, line_coverage.PROGRAMS)
    return text, line_coverage.problems(measured)


def main() -> int:
    """Write the page; returns 1, with what is wrong, where a gap has no reason or a reason no gap."""
    parser = argparse.ArgumentParser(description="write docs/reference/coverage.md")
    parser.add_argument("--fields", action="store_true", help="only the part about instruction fields")
    only_fields = parser.parse_args().fields
    sys.path.append(str(Path(__file__).resolve().parents[1] / "rtl"))
    page = coverage_page.PAGE
    fields, problems = field_text()
    if only_fields:
        lines = coverage_page.split(page.read_text(encoding="utf-8"))[1]
    else:
        lines, more = line_text()
        problems += more
    temporary = page.with_suffix(".tmp")
    temporary.write_text(fields + lines, encoding="utf-8")
    temporary.replace(page)
    print(*problems, f"wrote {page.name}", sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
