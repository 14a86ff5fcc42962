"""Success against the clock: a curve for each program, dashed where the world waits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vla_isa.files import write_whole
from vla_training.evaluate.rate_curves import Curve, Point, rate_curves
from vla_training.evaluate.sweep import LiveRow

__all__ = ["live_chart", "save_live_chart"]


def live_chart(rows: Sequence[LiveRow]) -> str:
    """The chart as a whole SVG document; the clock is on a logarithmic axis."""
    curves = []
    for name in dict.fromkeys(row.name for row in rows):
        mine = [row for row in rows if row.name == name]
        waiting = [row.evaluation.rate for row in mine if row.evaluation.clock_mhz is None]
        points = sorted((_point(row, clock) for row in mine if (clock := row.evaluation.clock_mhz)), key=_clock)
        curves.append(Curve(f"{name}, {mine[0].evaluation.cycles:,} cycles", points, waiting[0] if waiting else None))
    return rate_curves(f"{rows[0].evaluation.level}: success against the clock", "clock, MHz", curves)


def save_live_chart(path: Path, rows: Sequence[LiveRow]) -> None:
    """Write the chart."""
    write_whole(path, live_chart(rows).encode())


def _point(row: LiveRow, clock_mhz: float) -> Point:
    played = row.evaluation
    note = f"{row.name}, {clock_mhz:g} MHz: {100 * played.rate:.1f} %, {row.delay_steps} steps late"
    return Point(clock_mhz, played.rate, played.interval, note)


def _clock(point: Point) -> float:
    return point.at
