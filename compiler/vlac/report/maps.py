"""Pictures of memory as SVG: the scratchpad over the program's run, and the spaces of HBM as strips.

Every region says its name and place when the pointer rests on it. Axes cover what is used, not what there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from vla_isa.program import MapEntry

__all__ = ["colour", "scratchpad_map", "space_map"]

_COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#e45756", "#72b7b2", "#9d755d", "#eeca3b")
_WIDTH, _LEFT, _BOTTOM, _HEIGHT = 1000, 64, 34, 300
_LETTER = 6.2  # pixels per letter of a label


def colour(index: int) -> str:
    """A colour for the region number `index`."""
    return _COLOURS[index % len(_COLOURS)]


def scratchpad_map(entries: Sequence[MapEntry], capacity: int, word_bytes: int) -> str:
    """Regions as rectangles: packets from left to right, words from bottom to top."""
    used = max((m.start + m.size for m in entries), default=0)
    if not used:
        return "<p>Nothing lies there.</p>"
    last = max(m.last_packet for m in entries) + 1
    x_unit, y_unit = (_WIDTH - _LEFT) / last, _HEIGHT / used
    shapes = [_grid(used, last, word_bytes)]
    for i, m in enumerate(entries):
        x, w = _LEFT + m.first_packet * x_unit, (m.last_packet - m.first_packet + 1) * x_unit
        y, h = _HEIGHT - (m.start + m.size) * y_unit, max(m.size * y_unit, 1.5)
        words = f"words {m.start:,} to {m.start + m.size - 1:,}, {_bytes(m.size * word_bytes)}"
        title = f"{m.name}: {words}, packets {m.first_packet} to {m.last_packet}"
        shapes.append(
            f"<g class=r><rect x={x:.1f} y={y:.1f} width={max(w - 1, 1):.1f} height={h:.1f} rx=2 fill='{colour(i)}'/>"
            f"<title>{escape(title)}</title>{_label(m.name, x, y, w, h)}</g>"
        )
    share = 100 * used / capacity
    note = f"{used:,} of {capacity:,} words used ({_bytes(used * word_bytes)}, {share:.1f} %)"
    return (
        f"<p class=note>{note}. Packets run from left to right.</p>"
        f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT + _BOTTOM}' role=img>{''.join(shapes)}</svg>"
    )


def _grid(used: int, last: int, word_bytes: int) -> str:
    out = []
    for i in range(5):
        y = _HEIGHT - _HEIGHT * i / 4
        out.append(f"<line x1={_LEFT} x2={_WIDTH} y1={y:.1f} y2={y:.1f} class=g />")
        place = min(max(y + 4, 10), _HEIGHT)
        out.append(f"<text x={_LEFT - 6} y={place:.1f} class=e>{_bytes(used * word_bytes * i // 4)}</text>")
        x = _LEFT + (_WIDTH - _LEFT) * i / 4
        anchor = "e" if i == 4 else "m" if i else "s"
        out.append(f"<text x={x:.1f} y={_HEIGHT + 16} class={anchor}>{last * i // 4}</text>")
    out.append(f"<text x={_WIDTH / 2} y={_HEIGHT + 31} class=m>packet</text>")
    return "".join(out)


def _label(name: str, x: float, y: float, w: float, h: float) -> str:
    """The name inside its rectangle, as much of it as fits; nothing in small ones."""
    letters = int((w - 8) / _LETTER)
    if letters < 4 or h < 13:
        return ""
    text = name if len(name) <= letters else name[: letters - 1] + "…"
    return f"<text x={x + 4:.1f} y={y + min(h / 2 + 4, 15):.1f} class=l>{escape(text)}</text>"


def space_map(entries: Sequence[MapEntry], unit: int) -> str:
    """Regions of a space as one strip in the order of addresses, with a legend of the largest; `unit` bytes each."""
    total = sum(m.size for m in entries)
    if not total:
        return "<p>Nothing lies there.</p>"
    ordered = sorted(enumerate(entries), key=lambda e: e[1].start)
    shapes, x = [], 0.0
    for i, m in ordered:
        w = _WIDTH * m.size / total
        title = f"{m.name}: {_bytes(m.size * unit)} from byte {m.start * unit:,}"
        shapes.append(
            f"<g class=r><rect x={x:.1f} y=0 width={max(w - 0.5, 0.5):.1f} height=34 fill='{colour(i)}'/>"
            f"<title>{escape(title)}</title>{_label(m.name, x, 4, w, 34)}</g>"
        )
        x += w
    largest = sorted(ordered, key=lambda e: -e[1].size)[:8]
    legend = "".join(
        f"<li><i style='background:{colour(i)}'></i>{escape(m.name)} <b>{_bytes(m.size * unit)}</b></li>"
        for i, m in largest
    )
    rest = len(entries) - len(largest)
    legend += f"<li>and {rest} smaller</li>" if rest else ""
    return f"<svg viewBox='0 0 {_WIDTH} 34' role=img>{''.join(shapes)}</svg><ul class=legend>{legend}</ul>"


def _bytes(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.1f} KB" if count < 1 << 20 else f"{count / (1 << 20):.2f} MB"
