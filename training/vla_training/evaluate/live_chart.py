"""Success against the clock as an SVG: a curve with 95 % intervals for each program, dashed where the world waits."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from vla_isa.files import write_whole
from vla_training.evaluate.sweep import LiveRow

__all__ = ["live_chart", "save_live_chart"]

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _RIGHT = 640, 340, 56, 60, 44, 24
_COLORS = ("#4878a8", "#c06030", "#50904c", "#905090", "#707070", "#b09020")
_STYLE = 'font-family="sans-serif" font-size="12"'


def live_chart(rows: Sequence[LiveRow]) -> str:
    """The chart as a whole SVG document; the clock is on a logarithmic axis."""
    clocks = sorted({row.evaluation.clock_mhz for row in rows if row.evaluation.clock_mhz is not None})
    low, high = math.log10(clocks[0]), math.log10(clocks[-1])
    first = rows[0].evaluation

    def across(clock: float) -> float:
        width = _WIDTH - _LEFT - _RIGHT
        return _LEFT + (width / 2 if high == low else (math.log10(clock) - low) / (high - low) * width)

    parts = [
        f'<text x="{_LEFT}" y="16">{html.escape(f"{first.level}: success against the clock")}</text>',
        *_axes(clocks, across),
    ]
    for number, name in enumerate(dict.fromkeys(row.name for row in rows)):
        color = _COLORS[number % len(_COLORS)]
        mine = [row for row in rows if row.name == name]
        parts += [*_curve(mine, across, color), _legend(number, f"{name}, {mine[0].evaluation.cycles:,} cycles", color)]
    size = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    ground = f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>'
    body = "\n".join([ground, *parts])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {_STYLE}>\n{body}\n</svg>\n'


def save_live_chart(path: Path, rows: Sequence[LiveRow]) -> None:
    """Write the chart."""
    write_whole(path, live_chart(rows).encode())


def _down(rate: float) -> float:
    return _HEIGHT - _BOTTOM - rate * (_HEIGHT - _TOP - _BOTTOM)


def _axes(clocks: Sequence[float], across: Callable[[float], float]) -> list[str]:
    parts = []
    for percent in (0, 25, 50, 75, 100):
        y = _down(percent / 100)
        parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, "#ddd"))
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{percent} %</text>')
    for clock in clocks:
        x = across(clock)
        parts.append(_line(x, _down(0), x, _down(0) + 5, "#111"))
        parts.append(f'<text x="{x:.1f}" y="{_down(0) + 18:.1f}" text-anchor="middle">{clock:g}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">clock, MHz</text>')
    return parts


def _curve(rows: Sequence[LiveRow], across: Callable[[float], float], color: str) -> list[str]:
    parts, points = [], []
    for row in sorted(rows, key=lambda row: row.evaluation.clock_mhz or 0):
        played = row.evaluation
        y = _down(played.rate)
        if played.clock_mhz is None:
            parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, color, ' stroke-dasharray="5 4"'))
            continue
        x, (least, most) = across(played.clock_mhz), played.interval
        points.append(f"{x:.1f},{y:.1f}")
        title = f"{row.name}, {played.clock_mhz:g} MHz: {100 * played.rate:.1f} %, {row.delay_steps} steps late"
        parts.append(_line(x, _down(least), x, _down(most), color))
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{color}"><title>{html.escape(title)}</title></circle>'
        )
    parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{color}" stroke-width="2"/>')
    return parts


def _legend(number: int, text: str, color: str) -> str:
    x, y = _LEFT + 190 * (number % 3), 34 + 16 * (number // 3)
    return f'<text x="{x}" y="{y}" fill="{color}">{html.escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, color: str, more: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"{more}/>'
