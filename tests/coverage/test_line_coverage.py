"""Every line and branch of the RTL runs in conformance or a bench, or has a reason; the page says so."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import counts
import coverage_page
import line_coverage
import pytest
from counts import Point
from line_coverage import Measured
from measured_sources import digest
from write_page import line_text

from vlarun.backends.rtl_build import source_folder


@pytest.mark.slow
@pytest.mark.every_line
@pytest.mark.timeout(1800)  # a build and some 1,800 runs, on a machine that may be busy
def test_nothing_is_missing_and_the_page_is_up_to_date() -> None:
    text, problems = line_text()
    assert not problems, "\n".join(problems)
    page = coverage_page.split(coverage_page.PAGE.read_text(encoding="utf-8"))[1]
    assert page == text, "docs/reference/coverage.md is out of date: make coverage"


def test_the_page_is_of_these_sources() -> None:
    page = coverage_page.PAGE.read_text(encoding="utf-8")
    assert f"of sources `{digest()}`" in page, "docs/reference/coverage.md was measured with other RTL: make coverage"


def explained() -> list[Point]:
    """The points of line_reasons.toml, found in the sources."""
    out = []
    for file, text, arm in line_coverage.reasons():
        lines = next(source_folder().glob(f"*/{file}")).read_text(encoding="utf-8").splitlines()
        line = next(i for i, found in enumerate(lines, 1) if found.strip() == text)
        out.append(Point(file, line, 1, arm, (line,)))
    return out


def test_a_line_that_never_runs_needs_a_reason_and_a_reason_such_a_line() -> None:
    never: Counter[Point] = Counter(dict.fromkeys(explained(), 0))
    assert line_coverage.problems(Measured(never, Counter())) == []
    (first, *_) = never
    other = Point(first.file, first.line + 1, 1, "block", (first.line + 1,))
    (gap,) = line_coverage.problems(Measured(Counter({**never, other: 0}), Counter()))
    assert gap.startswith(f"{other.file}:{other.line} never runs (block): ")
    (stale,) = line_coverage.problems(Measured(Counter({**never, first: 3}), Counter()))
    assert stale.startswith(f"line_reasons.toml explains what runs, or is no more: {first.file}")


def test_what_a_bench_runs_is_reached() -> None:
    never: Counter[Point] = Counter(dict.fromkeys(explained(), 0))
    point = Point("vla_control.v", 1, 1, "if", (1,))
    measured = Measured(Counter({**never, point: 0}), Counter({point: 2}))
    assert line_coverage.problems(measured) == [] and measured.by_bench == [point]


def test_instances_of_a_module_count_together(tmp_path: Path) -> None:
    def line(module: str, count: int) -> str:
        keys = {"f": "/x/vla_fifo.v", "l": "12", "n": "5", "t": "line", "page": f"v_line/{module}", "o": "elsif"}
        return (
            "C '"
            + "".join(f"\x01{k}\x02{v}" for k, v in {**keys, "S": "12,14-15", "h": "top"}.items())
            + f"' {count}\n"
        )

    path = tmp_path / "counts.dat"
    path.write_text("# SystemC::Coverage-3\n" + line("vla_fifo__A", 3) + line("vla_fifo__B", 4), encoding="utf-8")
    assert counts.read(path) == {Point("vla_fifo.v", 12, 5, "else if", (12, 14, 15)): 7}
    path.write_text("something else\n", encoding="utf-8")
    with pytest.raises(ValueError, match="is no coverage point"):
        counts.read(path)
