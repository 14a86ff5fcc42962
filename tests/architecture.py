"""docs/architecture.svg: the way of the data, and who stands on whom, drawn from docs/architecture.toml.

    python tests/architecture.py            # write it
    python tests/architecture.py --check    # write nothing; exit 1 when it is stale

Not here: whether the code keeps to it (`test_import_graph.py`).
"""

from __future__ import annotations

import sys
from xml.sax.saxutils import escape

from import_graph import ROOT, Floors

__all__ = ["PICTURE", "picture"]

PICTURE = ROOT / "docs" / "architecture.svg"
WIDTH, MARGIN, GAP = 940, 20, 10
BLUE, GOLD, GREEN = ("#eef3f8", "#4c6a92"), ("#f7f3e8", "#9a7d2e"), ("#eef6f0", "#2e7d4f")
BACKENDS = ("sim", "rtl", "ref")
HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" \
aria-labelledby="title" font-family="Helvetica, Arial, sans-serif" font-size="13" text-anchor="middle" fill="#1c2430">
  <title id="title">The passes of the compiler in their order, and floors of packages and rooms: imports go down</title>
  <rect width="{w}" height="{h}" fill="#ffffff"/>"""


def picture() -> str:
    """The SVG's text."""
    floors = Floors.load()
    lines = [_title(30, "The way of a model"), *_chain(42, floors.passes)]
    y = 124
    for title, stack in (("Packages", floors.packages), *((f"Rooms of {p}", s) for p, s in floors.rooms.items())):
        lines.append(_title(y, f"{title}: who stands higher imports who stands lower"))
        for number, floor in enumerate(reversed(stack)):
            lines += _row(y + 12 + 34 * number, floor, GOLD if title == "Packages" else BLUE)
        y += 34 * len(stack) + 42
    return "\n".join([HEAD.format(w=WIDTH, h=y - 20), *lines, "</svg>"]) + "\n"


def _title(y: int, text: str) -> str:
    return f'  <text x="{MARGIN}" y="{y}" font-size="15" font-weight="bold" text-anchor="start">{escape(text)}</text>'


def _box(x: float, y: float, width: float, height: int, colours: tuple[str, str]) -> str:
    fill, line = colours
    return f'  <rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height}" rx="6" fill="{fill}" stroke="{line}"/>'


def _row(y: int, floor: dict[str, str], colours: tuple[str, str]) -> list[str]:
    """Boxes of one line, as wide as there is room."""
    width = (WIDTH - 2 * MARGIN - GAP * (len(floor) - 1)) / len(floor)
    lines = []
    for i, (name, text) in enumerate(floor.items()):
        x = MARGIN + i * (width + GAP)
        lines.append(_box(round(x, 1), y, round(width, 1), 28, colours))
        label = f'<tspan font-weight="bold">{escape(name)}</tspan>  <tspan font-size="12">{escape(text)}</tspan>'
        lines.append(f'  <text x="{x + width / 2:.1f}" y="{y + 19}">{label}</text>')
    return lines


def _chain(y: int, passes: dict[str, str]) -> list[str]:
    """model.onnx, the passes, prog.bin and what runs it, with arrows between them."""
    steps = [("model.onnx", "float or Q/DQ", GREEN), *((name, text, BLUE) for name, text in passes.items())]
    steps += [("prog.bin", "program", GREEN), (", ".join(BACKENDS), "vlarun", GOLD)]
    gap = 14
    width = (WIDTH - 2 * MARGIN - gap * (len(steps) - 1)) / len(steps)
    lines = []
    for i, (name, text, colours) in enumerate(steps):
        x = MARGIN + i * (width + gap)
        if i:
            way = f"M{x - gap + 1:.1f} {y + 20}h{gap - 3}m-5 -4l5 4l-5 4"
            lines.append(f'  <path d="{way}" fill="none" stroke="#3b4252"/>')
        lines.append(_box(round(x, 1), y, round(width, 1), 40, colours))
        lines.append(f'  <text x="{x + width / 2:.1f}" y="{y + 17}" font-weight="bold">{escape(name)}</text>')
        lines.append(f'  <text x="{x + width / 2:.1f}" y="{y + 33}" font-size="12">{escape(text)}</text>')
    return lines


def main(arguments: list[str]) -> int:
    """Write the picture, or check it."""
    text = picture()
    if arguments == ["--check"]:
        stale = not PICTURE.is_file() or PICTURE.read_text(encoding="utf-8") != text
        if stale:
            print("stale: docs/architecture.svg; run python tests/architecture.py")
        return int(stale)
    PICTURE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
