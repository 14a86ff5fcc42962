"""The text of docs/reference/coverage.md: a part about instruction fields and a part about RTL lines.

Not here: what is measured (field_coverage.py, line_coverage.py) and writing the page (write_page.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from counts import Counts, Point
from field_coverage import CONFIGS, PROGRAMS, Combination, Row, reasons
from measured_sources import digest
from value_classes import FITS, highest

from vla_isa import hardware
from vla_isa.instructions import TABLE

__all__ = ["LINES_TITLE", "PAGE", "field_part", "line_part", "split"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "coverage.md"
LINES_TITLE = "## RTL lines\n"

HEAD = """# Coverage

Written by `make coverage`. What the conformance suites (`vlarun conformance`) reach: values of instruction fields,
and lines of the RTL. What they do not reach is listed with its reason; a gap without a reason, and a reason without
a gap, fail the tests in `tests/coverage`.

## Instruction fields

Checked by `tests/coverage/test_field_coverage.py` in every run of the tests. Counted are packets that a program of T1
or T2 ({programs} random programs, each in two schedules) executes on its way to HALT; a COPY of size zero counts for
`move`, its counts and its semaphores only. The classes of a field:

- an enumeration or a flag: each legal value;
- a signed number: lowest, negative, zero, positive, highest;
- another number: lowest, next, middle, top bit (the highest bit that a value can use is set), highest;
- `wait` and `signal`: no semaphore, one, several, all 16.
"""

LINES = """
Measured with Verilator's `--coverage-line` on the conformance suites T0, T1 and T2 ({programs} random programs, each in
two schedules), stalls off and random, every case compared with the reference as always. The machine is
`tests/coverage/coverage.toml`: small, with two data masters, so that the code between masters runs; a larger config
has the same lines. Registers that only a host reads are reached by the bench of `vla_control`, counted the same way.
Measured by `make coverage`, of sources `{sources}`; a test fails where the RTL, the suites or the reasons are others.
All of it again: `pytest tests/coverage --every-line`.

A *line* is one that belongs to an `always` block or a `?:`; an `assign` without `?:` always runs and is not counted. A
*branch* is a side of an `if` (an `else` that is not written too), an item of a `case`, or an arm of a `?:`. All
instances of a module count together; a module that is not in the table has neither.

**{lines} of the lines and {branches} of the branches run.**
"""


def split(text: str) -> tuple[str, str]:
    """The page's two parts."""
    fields, title, lines = text.partition(LINES_TITLE)
    return fields, title + lines


def field_part(table: list[Row], pairs: dict[str, list[Combination]]) -> str:
    """The part about instruction fields, up to the title of the other."""
    rows = {(r.of, r.config): r for r in table}
    names = [i.name for i in TABLE if i.implemented]
    out = [HEAD.format(programs=PROGRAMS)]
    out += _table(
        ["instruction", "fields", *(f"classes hit on `{c}`" for c in CONFIGS)],
        [_instruction(n, rows) for n in [*names, ""]],
    )
    out += ["\n### Classes that no legal packet is in\n"]
    out += _table(["field", "class", "why"], [[f"{of}", name, why] for (of, name), why in reasons().items()])
    out += ["\n### Values that occur together\n", "Every combination of these values and ranges occurs.\n"]
    out += _table(["instruction", "fields", "combinations", *(f"`{c}`" for c in CONFIGS)], list(_pairs(pairs)))
    out += ["\n### Highest values\n", "The table's limit, or less where a packet cannot use more:\n"]
    out += _table(["fields", "highest", "why"], [[", ".join(f.fields), f.text, f.why] for f in FITS])
    for name in names:
        out += [f"\n### {name}\n", *_fields(name, rows)]
    return "\n".join(out) + "\n\n"


def _table(head: list[str], body: Iterable[list[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body)]


def _instruction(name: str, rows: dict[tuple[str, str], Row]) -> list[str]:
    """A line of the summary; of everything where `name` is empty."""
    per = {c: [r for (of, config), r in rows.items() if config == c and of.startswith(f"{name}.")] for c in CONFIGS}
    if not name:
        per = {c: [r for (_, config), r in rows.items() if config == c] for c in CONFIGS}
    hit = [f"{sum(len(r.hit) for r in rs)} of {sum(len(r.classes) for r in rs)}" for rs in per.values()]
    return [name or "all", str(len(per[CONFIGS[0]])), *hit]


def _pairs(pairs: dict[str, list[Combination]]) -> Iterable[list[str]]:
    for same in zip(*pairs.values(), strict=True):
        first = same[0]
        fields = "; ".join(f"{name} {', '.join(ranges)}" for name, ranges in first.bins.items())
        yield [first.of, fields, str(first.total), *(str(first.total - len(c.missing)) for c in same)]


def _fields(name: str, rows: dict[tuple[str, str], Row]) -> list[str]:
    body = []
    for field in next(i for i in TABLE if i.name == name).value_fields:
        found = [rows[f"{name}.{field.name}", c] for c in CONFIGS]
        tops = dict.fromkeys(str(highest(name, field, hardware.load(c))) for c in CONFIGS)
        classes = ", ".join(dict.fromkeys(c for r in found for c in r.classes))
        hit = [f"{len(r.hit)} of {len(r.classes)}" for r in found]
        body.append([f"`{field.name}`", str(field.width), str(field.legal_min), ", ".join(tops), classes, *hit])
    return _table(["field", "bits", "lowest", "highest", "classes", *(f"`{c}`" for c in CONFIGS)], body)


def line_part(counts: Counts, by_bench: list[Point], unreached: list[tuple[Point, str, str]], programs: int) -> str:
    """The part about RTL lines.

    Args:
        counts: of programs and benches together.
        by_bench: the points that only a bench runs.
        unreached: the points that never run, with the text of their line and the reason.
        programs: random programs that ran.
    """
    files = sorted({p.file for p in counts})
    everything = _module("all", counts)
    lines, branches = (_percent(*everything[i : i + 2]) for i in (1, 3))
    out = [LINES_TITLE + LINES.format(programs=programs, sources=digest(), lines=lines, branches=branches)]
    out += _table(
        ["module", "lines", "run", "branches", "run"],
        [
            everything,
            *(_module(f, Counter({p: n for p, n in counts.items() if p.file == f})) for f in files),
        ],
    )
    out += [f"\n### Never run: {len(unreached)} branches\n"]
    out += _table(
        ["where", "branch", "text", "why"],
        [[f"{p.file}:{p.line}", p.arm, _code(text), why] for p, text, why in unreached],
    )
    modules = ", ".join(f"`{f}` ({n})" for f, n in Counter(p.file for p in by_bench).items())
    out += [f"\nRun by a bench only: {len(by_bench)} lines and branches, in {modules}."]
    return "\n".join(out) + "\n"


def _code(text: str) -> str:
    """Verilog in a table: a back quote and a bar would end the cell's code or the cell."""
    return "`` " + text.replace("|", "\\|") + " ``"


def _percent(total: str, run: str) -> str:
    """Rounded down, so that only all is 100 %."""
    return f"{1000 * int(run) // int(total) / 10} %"


def _module(name: str, counts: Counts) -> list[str]:
    """Lines and branches of a module, and how many of them run."""
    lines: Counter[tuple[str, int]] = Counter()
    for point, count in counts.items():
        lines.update({(point.file, line): count for line in point.lines})
    branches = [n for p, n in counts.items() if p.arm != "block"]
    run = [str(sum(n > 0 for n in found)) for found in (lines.values(), branches)]
    return [name.removesuffix(".v"), str(len(lines)), run[0], str(len(branches)), run[1]]
