"""Two small charts as inline SVG: success rates with error bars, and a curve over training steps."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

__all__ = ["line_chart", "rate_chart"]

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 640, 200, 60, 24, 24


def rate_chart(bars: Sequence[tuple[str, float, tuple[float, float]]]) -> str:
    """Horizontal bars (name, rate, interval) on an axis from 0 to 100 %."""
    left, row = 180, 40
    scale = _WIDTH - left - 40
    parts = []
    for index, (name, rate, (low, high)) in enumerate(bars):
        y = 10 + index * row
        middle = y + 12
        parts += [
            f'<text x="{left - 8}" y="{y + 17}" text-anchor="end">{html.escape(name)}</text>',
            f'<rect x="{left}" y="{y}" width="{rate * scale:.1f}" height="24" fill="#4878a8"/>',
            _line(left + low * scale, middle, left + high * scale, middle, "#111", 2),
            _line(left + low * scale, middle - 6, left + low * scale, middle + 6, "#111", 2),
            _line(left + high * scale, middle - 6, left + high * scale, middle + 6, "#111", 2),
        ]
    bottom = 10 + len(bars) * row
    for tick in (0, 50, 100):
        x = left + scale * tick / 100
        parts.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{tick} %</text>')
    return _svg(_WIDTH, bottom + 20, parts)


def line_chart(title: str, points: Sequence[tuple[float, float]], logarithmic: bool) -> str:
    """A curve of (step, value); empty text if there are fewer than two points to join."""
    shown = [(x, math.log10(y) if logarithmic else y) for x, y in points if y > 0 or not logarithmic]
    if len(shown) < 2:
        return ""
    steps, values = zip(*shown, strict=True)
    low, high = min(values), max(values)
    span = (high - low) or 1.0

    def place(x: float, y: float) -> str:
        across = _LEFT + (x - steps[0]) / (steps[-1] - steps[0]) * (_WIDTH - _LEFT - 10)
        down = _HEIGHT - _BOTTOM - (y - low) / span * (_HEIGHT - _TOP - _BOTTOM)
        return f"{across:.1f},{down:.1f}"

    def label(y: float) -> str:
        return f"{10**y:.2g}" if logarithmic else f"{y:.3g}"

    path = " ".join(place(x, y) for x, y in shown)
    parts = [
        f'<text x="{_LEFT}" y="14">{html.escape(title)}</text>',
        f'<polyline points="{path}" fill="none" stroke="#4878a8" stroke-width="1.5"/>',
        f'<text x="{_LEFT - 6}" y="{_TOP + 5}" text-anchor="end">{label(high)}</text>',
        f'<text x="{_LEFT - 6}" y="{_HEIGHT - _BOTTOM}" text-anchor="end">{label(low)}</text>',
        f'<text x="{_LEFT}" y="{_HEIGHT - 4}">step {steps[0]:.0f}</text>',
        f'<text x="{_WIDTH - 10}" y="{_HEIGHT - 4}" text-anchor="end">{steps[-1]:.0f}</text>',
    ]
    return _svg(_WIDTH, _HEIGHT, parts)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"/>'


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    style = 'font-family="sans-serif" font-size="13"'
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" {style}>{"".join(parts)}</svg>'
