"""Success rates with 95 % intervals as curves over a logarithmic axis: one SVG document.

Not here: what the axis is (`live_chart.py`: the clock).
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Curve", "Point", "rate_curves"]

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _RIGHT = 640, 340, 56, 44, 24
_IN_A_ROW = 3  # names of curves
_INSET = 18  # of the first and the last value from the ends of the axis
_APART = 5  # pixels between the points of two curves at one value
_COLORS = ("#4878a8", "#c06030", "#50904c", "#905090", "#707070", "#b09020")
_STYLE = 'font-family="sans-serif" font-size="12"'


@dataclass(frozen=True)
class Point:
    """Success at `at`, which is above 0; rates are from 0 to 1."""

    at: float
    rate: float
    interval: tuple[float, float]
    note: str  # shown under the pointer


@dataclass(frozen=True)
class Curve:
    """Points in the order of the axis, and perhaps a rate that does not depend on it, dashed."""

    name: str
    points: Sequence[Point]
    level: float | None = None


@dataclass(frozen=True)
class _Frame:
    """Where the curves lie: pixels of a rate, and of a value between the first and the last of the axis."""

    top: float
    low: float
    high: float

    def down(self, rate: float) -> float:
        return _HEIGHT - _BOTTOM - rate * (_HEIGHT - self.top - _BOTTOM)

    def across(self, value: float) -> float:
        width, low, high = _WIDTH - _LEFT - _RIGHT - 2 * _INSET, math.log10(self.low), math.log10(self.high)
        return _LEFT + _INSET + (width / 2 if high == low else (math.log10(value) - low) / (high - low) * width)


def rate_curves(title: str, axis: str, curves: Sequence[Curve], text_of: Callable[[float], str] = "{:g}".format) -> str:
    """The chart as a whole SVG document.

    Args:
        title: above it.
        axis: what the values are, below it.
        curves: with at least one point among them.
        text_of: a value of the axis as text.
    """
    values = sorted({point.at for curve in curves for point in curve.points})
    rows = -(-len(curves) // _IN_A_ROW)
    frame = _Frame(28 + 16 * max(2, rows), values[0], values[-1])
    parts = [f'<text x="{_LEFT}" y="16">{html.escape(title)}</text>', *_axes(frame, axis, values, text_of)]
    for number, curve in enumerate(curves):
        color = _COLORS[number % len(_COLORS)]
        aside = _APART * (number - (len(curves) - 1) / 2)
        parts += [*_drawn(frame, curve, color, aside), _legend(number, curve.name, color)]
    size = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    ground = f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>'
    body = "\n".join([ground, *parts])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {_STYLE}>\n{body}\n</svg>\n'


def _axes(frame: _Frame, axis: str, values: Sequence[float], text_of: Callable[[float], str]) -> list[str]:
    parts = []
    for percent in (0, 25, 50, 75, 100):
        y = frame.down(percent / 100)
        parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, "#ddd"))
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{percent} %</text>')
    bottom = frame.down(0)
    for value in values:
        x = frame.across(value)
        parts.append(_line(x, bottom, x, bottom + 5, "#111"))
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 18:.1f}" text-anchor="middle">{html.escape(text_of(value))}</text>'
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{html.escape(axis)}</text>')
    return parts


def _drawn(frame: _Frame, curve: Curve, color: str, aside: float) -> list[str]:
    parts, places = [], []
    if curve.level is not None:
        y = frame.down(curve.level)
        parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, color, ' stroke-dasharray="5 4"'))
    for point in curve.points:
        x, y, (least, most) = frame.across(point.at) + aside, frame.down(point.rate), point.interval
        places.append(f"{x:.1f},{y:.1f}")
        parts.append(_line(x, frame.down(least), x, frame.down(most), color))
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{color}"><title>{html.escape(point.note)}</title></circle>'
        )
    parts.append(f'<polyline points="{" ".join(places)}" fill="none" stroke="{color}" stroke-width="2"/>')
    return parts


def _legend(number: int, text: str, color: str) -> str:
    x, y = _LEFT + 190 * (number % _IN_A_ROW), 34 + 16 * (number // _IN_A_ROW)
    return f'<text x="{x}" y="{y}" fill="{color}">{html.escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, color: str, more: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"{more}/>'
