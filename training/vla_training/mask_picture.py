"""The attention mask of a policy by types of tokens, as one SVG document."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vla_models.attention_blocks import Block, allowed, spans
from vla_models.errors import PolicyError
from vla_models.registry import POLICIES, find_policy
from vla_models.saved import load_config
from vla_training.checkpoint import pretrained_folder

__all__ = ["attention_blocks", "mask_picture"]

_SIDE, _LEFT, _TOP, _LEGEND = 512, 24, 36, 200  # pixels: of the mask, and what is around it
_COLORS = ("#4878a8", "#c06030", "#50904c", "#905090", "#707070", "#b09020")
_STYLE = 'font-family="sans-serif" font-size="12" shape-rendering="crispEdges"'


def attention_blocks(policy: str) -> tuple[str, Sequence[Block]]:
    """The name and the blocks of a policy of the registry, with its default sizes, or of a saved one.

    Args:
        policy: a name, or the folder of a run or of a saved policy.

    Raises:
        PolicyError, CheckpointError: there is none.
        PolicyError: it has no one attention over tokens of several types.
    """
    if Path(policy).is_dir():
        spec, config = load_config(pretrained_folder(Path(policy)))
    else:
        spec = find_policy(policy)
        config = spec.configured({})
    if not hasattr(config, "attention_blocks"):
        others = ", ".join(p.name for p in POLICIES if hasattr(p.configured({}), "attention_blocks"))
        raise PolicyError(f"Policy '{spec.name}' has no attention over tokens of several types; {others} have.")
    return spec.name, config.attention_blocks()


def mask_picture(policy: str, blocks: Sequence[Block]) -> str:
    """A row for each token that looks, a column for each that is seen, in the color of its type; legend beside it.

    Args:
        policy: what the title says.
        blocks: see `vla_models.attention_blocks`.
    """
    mask, at = allowed(blocks), spans(blocks)
    cell = _SIDE / len(mask)
    width, height = _LEFT + _SIDE + _LEGEND, _TOP + _SIDE + 24
    parts = [
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{_LEFT}" y="20">{html.escape(policy)}: which tokens (rows) see which (columns)</text>',
    ]
    for block, color in zip(blocks, _colors(len(blocks)), strict=True):
        columns = at[block.name]
        parts += [
            _rect(columns.start + first, row, last - first, 1, cell, color)
            for row in range(len(mask))
            for first, last in _runs(mask[row, columns])
        ]
    for edge in (0, *(span.stop for span in at.values())):
        x, y = _LEFT + edge * cell, _TOP + edge * cell
        parts += [_line(x, _TOP, x, _TOP + _SIDE), _line(_LEFT, y, _LEFT + _SIDE, y)]
    parts += _legend(blocks)
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {_STYLE}>\n' + "\n".join(parts) + "\n</svg>\n"


def _colors(count: int) -> list[str]:
    return [_COLORS[number % len(_COLORS)] for number in range(count)]


def _runs(seen: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where ones begin and end."""
    steps = np.flatnonzero(np.diff(seen.astype(np.int8), prepend=0, append=0))
    return [(int(first), int(last)) for first, last in steps.reshape(-1, 2)]


def _rect(column: int, row: int, columns: int, rows: int, cell: float, color: str) -> str:
    x, y, width, height = (v * cell for v in (column, row, columns, rows))
    place = f'x="{_LEFT + x:.2f}" y="{_TOP + y:.2f}" width="{width:.2f}" height="{height:.2f}"'
    return f'<rect class="seen" {place} fill="{color}"/>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}" stroke="#111"/>'


def _legend(blocks: Sequence[Block]) -> list[str]:
    """Types in the order of their tokens, which is that of rows and of columns."""
    left, parts = _LEFT + _SIDE + 16, []
    for number, (block, color) in enumerate(zip(blocks, _colors(len(blocks)), strict=True)):
        y = _TOP + 22 * number
        text = f"{block.name}: {block.count}{', one by one' if block.causal else ''}"
        parts.append(f'<rect x="{left}" y="{y}" width="14" height="14" fill="{color}"/>')
        parts.append(f'<text x="{left + 22}" y="{y + 12}">{html.escape(text)}</text>')
    return parts
