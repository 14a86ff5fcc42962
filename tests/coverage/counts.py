"""Verilator's coverage counts: which points there are, and how often each ran.

A point is a block of statements, a branch of if or case, or an arm of `?:`. The file that a model built with
--coverage-line writes has a line per point: keys and values between the characters 1 and 2, then the count.
Format: the Verilator guide, "Coverage Data Format", and `VerilatedCovContext::write` of the installed version.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Counts", "Point", "read"]

ARMS = {
    "block": "block",
    "case": "case item",
    "elsif": "else if",
    "if": "if",
    "else": "else",
    "cond_then": "? then",
    "cond_else": "? else",
}


@dataclass(frozen=True, order=True)
class Point:
    """A point of a source file: `lines` are the lines that run with it, none for an `else` that is not written."""

    file: str
    line: int
    column: int
    arm: str
    lines: tuple[int, ...]


Counts = Counter[Point]


def read(path: Path) -> Counts:
    """The counts of one file, instances and parameters of a module added up.

    Raises:
        ValueError: a line that is no point, as another Verilator may write.
    """
    counts: Counts = Counter()
    for text in path.read_text(encoding="utf-8").splitlines():
        if text.startswith("C '"):
            body, _, count = text[3:].rpartition("' ")
            keys = dict(part.split("\x02", 1) for part in body.split("\x01") if part)
            point = Point(
                Path(keys["f"]).name, int(keys["l"]), int(keys["n"]), ARMS[keys["o"]], _lines(keys.get("S", ""))
            )
            counts[point] += int(count)
        elif not text.startswith("#"):
            raise ValueError(f"{path.name}: '{text[:40]}' is no coverage point")
    return counts


def _lines(text: str) -> tuple[int, ...]:
    """ "3,5-7" as (3, 5, 6, 7)."""
    out: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        out += range(int(first), int(last or first) + 1)
    return tuple(out)
