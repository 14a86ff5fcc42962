"""Which lines and branches of the RTL run in the conformance suites, and in the benches of what programs cannot reach.

Runs T0, T1 and T2 on a machine that counts (flavour "coverage"), every case compared with the reference as
always, stalls off and random; then the benches of `BENCHES`. What never ran must have a reason in
line_reasons.toml, found by module, text and kind of branch, and a reason must be about something that never ran.
"""

from __future__ import annotations

import tempfile
import tomllib
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from bench import run_cocotb
from counts import Counts, Point, read

from vlarun.backends import RtlBackend
from vlarun.backends.rtl import RtlOptions
from vlarun.backends.rtl_build import source_folder
from vlarun.conformance import runner
from vlarun.conformance.runner import Choice

__all__ = ["CONFIG", "PROGRAMS", "Measured", "key", "measure", "problems", "reasons", "source"]

HERE = Path(__file__).resolve().parent
CONFIG = HERE / "coverage.toml"
REASONS = HERE / "line_reasons.toml"
PROGRAMS = 25
# modules of which programs do not reach all, and their bench: the host's side; an item that is read late, or at an end
BENCHES = {
    "vla_control": HERE.parent / "rtl" / "vla_control" / "control_cocotb.py",
    "vla_fetch": HERE.parent / "rtl" / "vla_fetch" / "loops_cocotb.py",
}


@dataclass(frozen=True)
class Measured:
    """Counts by programs, and of the points of a benched module by its bench."""

    programs: Counts
    benches: Counts

    @property
    def all(self) -> Counts:
        """Counts of the machine's points, by whatever ran them; entries of a ROM are values, not branches."""
        points = {p: count for p, count in self.programs.items() if not p.file.endswith("_rom.vh")}
        return Counter({p: count + self.benches[p] for p, count in points.items()})

    @property
    def unreached(self) -> list[Point]:
        """Points that neither a program nor a bench runs, by file and line."""
        return sorted(p for p, count in self.all.items() if not count)

    @property
    def by_bench(self) -> list[Point]:
        """Points that only a bench runs."""
        return sorted(p for p, count in self.programs.items() if not count and self.benches[p])


def measure() -> Measured:
    """Run everything.

    Raises:
        AssertionError: a case fails on the counting machine.
    """
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "counts.dat"
        patch.setenv("VLA_COVERAGE", str(path))
        programs: Counts = Counter()
        for stalls in (0, runner.STALL_PERCENT):
            for case in runner.collect(Choice("rtl", str(CONFIG), ("T0", "T1", "T2"), programs=PROGRAMS)):
                options = RtlOptions(
                    flavour="coverage",
                    stall_percent=stalls,
                    stall_seed=zlib.crc32(case.id.encode()),
                    max_cycles=runner.MAX_CYCLES,
                )
                problem = runner.check(case, RtlBackend(options))
                assert not problem, f"{case.id}: {problem}"
                programs.update(read(path))
        benches: Counts = Counter()
        for module, tests in BENCHES.items():
            patch.syspath_prepend(str(tests.parent))  # cocotb finds its tests there
            run_cocotb(module, tests, Path(folder), coverage=True)
            benches.update(read(Path(folder) / "coverage.dat"))
    return Measured(programs, benches)


def source(point: Point) -> str:
    """The text of a point's line, without the space around it."""
    path = next(source_folder().glob(f"*/{point.file}"))
    return path.read_text(encoding="utf-8").splitlines()[point.line - 1].strip()


def reasons() -> dict[tuple[str, str, str], str]:
    """Why a branch never runs: (file, text of the line, arm) -> sentence."""
    entries = tomllib.loads(REASONS.read_text(encoding="utf-8"))["never"]
    return {(e["file"], e["text"], e["arm"]): e["why"] for e in entries}


def places() -> dict[tuple[str, str, str], int]:
    """In how many places at most a branch is: 1 unless its entry says so."""
    entries = tomllib.loads(REASONS.read_text(encoding="utf-8"))["never"]
    return {(e["file"], e["text"], e["arm"]): e.get("places", 1) for e in entries}


def key(point: Point) -> tuple[str, str, str]:
    """What a reason is found by: not the line's number, which moves."""
    return point.file, source(point), point.arm


def problems(measured: Measured) -> list[str]:
    """What nobody explained, and explanations of what runs; empty when all is well."""
    known, found = reasons(), Counter(map(key, measured.unreached))
    out = [f"{p.file}:{p.line} never runs ({p.arm}): {source(p)}" for p in measured.unreached if key(p) not in known]
    out += [f"line_reasons.toml explains what runs, or is no more: {' | '.join(k)}" for k in known if k not in found]
    out += [f"one reason for {n} places: {' | '.join(k)}" for k, n in found.items() if n > places().get(k, 1)]
    return out
