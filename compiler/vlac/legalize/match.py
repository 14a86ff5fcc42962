"""Recognize what a rearrangement is: an order of axes, a choice of channels, or grids of words to copy.

Input: for each output element the input element it comes from. Everything is found from these numbers alone,
so it does not matter which ONNX operators, or how many of them, made the rearrangement. Not here: what is done
with it (`legalize/layout_ops`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa.instructions.copy import COPY
from vlac.ir.geometry import is_image
from vlac.ir.operation import Tensor
from vlac.ir.records import Piece, Run

__all__ = ["MAX_PIECES", "Copies", "Grid", "axis_order", "channel_choice", "grid_of", "match_copies"]

I64 = NDArray[np.int64]
MAX_PIECES = 1024
_MAX_STEP = 32


def axis_order(index: I64) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """(view, permutation) with `arange.reshape(view).transpose(permutation).ravel() == index`, or None."""
    rest, axes = index, []
    while len(rest) > 1:
        step = int(rest[1] - rest[0])
        breaks = np.flatnonzero(np.diff(rest) != step)
        n = int(breaks[0]) + 1 if len(breaks) else len(rest)
        if len(rest) % n or step <= 0:
            return None
        rows = rest.reshape(-1, n)
        if (rows != rows[:, :1] + step * np.arange(n)).any():
            return None
        axes.append((step, n))
        rest = rows[:, 0]
    axes.reverse()
    order = sorted(range(len(axes)), key=lambda i: -axes[i][0])
    view = tuple(axes[i][1] for i in order)
    strides = [math.prod(view[k + 1 :]) for k in range(len(view))]
    if (len(index) and index[0]) or [axes[i][0] for i in order] != strides:
        return None
    return view or (1,), tuple(order.index(i) for i in range(len(axes))) or (0,)


# --- words ----------------------------------------------------------------------------------------------


@dataclass
class Grid:
    """Where each output (pixel, channel) comes from: input number, pixel number in its rows, channel; -1: fill.

    `source`, `pixel` and `channel` are int32 [h * w, c]; a pixel number counts through the input's rows.
    """

    source: NDArray[np.int32]
    pixel: NDArray[np.int32]
    channel: NDArray[np.int32]


def grid_of(inputs: list[Tensor], index: I64, out: Tensor) -> Grid:
    """The coordinates of `index` (flat, in ONNX order, inputs one after another) by output pixel and channel."""
    moved = out.to_hwc(index).reshape(-1, out.c)
    sizes = [math.prod(t.shape) for t in inputs]
    ends = np.cumsum(sizes)
    source = np.where(moved < 0, -1, np.searchsorted(ends, moved, side="right")).astype(np.int32)
    pixel, channel = np.full_like(source, -1), np.full_like(source, -1)
    for number, tensor in enumerate(inputs):
        here = source == number
        local = moved[here] - (int(ends[number]) - sizes[number])
        area = tensor.h * tensor.w
        image = is_image(tensor.shape)
        pixel[here] = local % area if image else local // tensor.c
        channel[here] = local // area if image else local % tensor.c
    return Grid(source, pixel, channel)


def channel_choice(grid: Grid, x: Tensor, out: Tensor) -> I64 | None:
    """The input channel of each output channel (-1: fill), where every pixel stays where it is; else None."""
    if (x.h, x.w) != (out.h, out.w):
        return None
    stays = (grid.pixel == np.arange(out.h * out.w, dtype=np.int32)[:, None]) | (grid.pixel < 0)
    if not stays.all() or (grid.channel != grid.channel[0]).any():
        return None
    channels: I64 = grid.channel[0].astype(np.int64)
    return channels


@dataclass
class Copies:
    """The fields of a CopyOp."""

    in_parts: list[list[I64] | None]
    out_parts: list[I64]
    pieces: list[Piece]
    is_filled: bool


def match_copies(grid: Grid, inputs: list[Tensor], out: Tensor) -> Copies | None:
    """Grids of whole words that make the output, or None where channels and pixels mix or too many are needed."""
    parts: list[list[I64]] = [[] for _ in inputs]
    known: dict[tuple[int, bytes], int] = {}
    targets, pieces, filled = [], list[Piece](), False
    for columns in _alike_columns(grid):
        place = (grid.pixel[:, columns[0]], grid.source[:, columns[0]])
        lists, kinds = _alike_rows(grid.channel[:, columns], place[1])
        targets.append(columns)
        for kind, (source, channels) in enumerate(lists):
            if source < 0:
                filled = True
                continue
            key = (source, channels.tobytes())
            if key not in known:
                known[key] = len(parts[source])
                parts[source].append(channels)
            where = (kinds == kind).reshape(out.h, out.w)
            grids = _grids(where, place[0].reshape(out.h, out.w), inputs[source].w)
            pieces += [Piece(source, known[key], len(targets) - 1, rows, pixels) for rows, pixels in grids]
            if len(pieces) > MAX_PIECES or any(_is_long(p.pixels) for p in pieces[-len(grids) :]):
                return None
        if len(targets) > MAX_PIECES:
            return None
    whole = all(len(p) == 1 and np.array_equal(p[0], np.arange(t.c)) for p, t in zip(parts, inputs, strict=True))
    in_parts: list[list[I64] | None] = [None] * len(inputs) if whole else list(parts)
    return Copies(in_parts, targets, pieces, filled)


def _is_long(pixels: Run) -> bool:
    """Whether a COPY could not count the pixels of a run one by one."""
    return pixels.count > COPY.limit("n1") and not pixels.out_step == pixels.in_step == 1


def _alike_columns(grid: Grid) -> list[I64]:
    """Output channels in groups that come from the same pixels everywhere."""
    rng = np.random.default_rng(0)
    mix = rng.integers(1, 1 << 62, (2, len(grid.pixel)), dtype=np.int64) | 1
    key = mix[0] @ grid.pixel.astype(np.int64) + mix[1] @ grid.source.astype(np.int64)  # wraps: a hash
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    return [np.flatnonzero(group == group[f]) for f in np.sort(first)]


def _alike_rows(channel: NDArray[np.int32], source: NDArray[np.int32]) -> tuple[list[tuple[int, I64]], I64]:
    """(input, its channels) in use by an output part, and which of them each pixel uses."""
    table = np.concatenate([source[:, None], channel], axis=1)
    if (table == table[0]).all():
        return [(int(source[0]), channel[0].astype(np.int64))], np.zeros(len(source), np.int64)
    mix = np.random.default_rng(1).integers(1, 1 << 62, table.shape[1], dtype=np.int64) | 1
    _, first, kinds = np.unique(table.astype(np.int64) @ mix, return_index=True, return_inverse=True)
    return [(int(table[f, 0]), table[f, 1:].astype(np.int64)) for f in first], kinds


def _grids(where: NDArray[np.bool_], pixel: NDArray[np.int32], width: int) -> list[tuple[Run, Run]]:
    """The output pixels `where`, read from input pixels `pixel`, as grids of rows and columns."""
    if where.all():
        return _separable(np.arange(where.shape[0]), np.arange(where.shape[1]), pixel, width)
    out: list[tuple[Run, Run]] = []
    patterns, kinds = np.unique(where, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        columns, rows = np.flatnonzero(pattern), np.flatnonzero(kinds.reshape(-1) == number)
        if len(columns):
            out += _separable(rows, columns, pixel[np.ix_(rows, columns)], width)
    return out


def _separable(rows: I64, columns: I64, pixel: NDArray[np.int32], width: int) -> list[tuple[Run, Run]]:
    """Grids where the input row depends on the output row alone, and row by row where it does not."""
    y, x = np.divmod(pixel, width)
    if (y == y[:, :1]).all() and (x == x[:1]).all():
        return [(r, c) for r in _runs(rows, y[:, 0]) for c in _runs(columns, x[0])]
    out = []
    for i, row in enumerate(rows):
        cuts = np.flatnonzero(np.diff(y[i])) + 1
        for part in np.split(np.arange(len(columns)), cuts):
            line = Run(int(row), 1, int(y[i, part[0]]), 0, 1)
            out += [(line, c) for c in _runs(columns[part], x[i, part])]
            if len(out) > MAX_PIECES:
                return out
    return out


def _runs(to: I64, source: NDArray[np.int32]) -> list[Run]:
    """Positions `to` read from `source` in as few runs with steady steps (not backwards) as possible."""
    best: list[Run] = []
    for step in range(1, min(_MAX_STEP, len(to)) + 1):
        found: list[Run] = []
        for phase in range(step):
            found += _steady(to[phase::step], source[phase::step])
            if best and len(found) >= len(best):
                break
        if not best or len(found) < len(best):
            best = found
        if len(best) <= 1:
            break
    return best


def _steady(to: I64, source: NDArray[np.int32]) -> list[Run]:
    out: list[Run] = []
    i = 0
    while i < len(to):
        n = 1
        if i + 1 < len(to) and source[i + 1] >= source[i]:
            steps = (int(to[i + 1] - to[i]), int(source[i + 1] - source[i]))
            ahead = (np.diff(to[i:]) == steps[0]) & (np.diff(source[i:]) == steps[1])
            n = 1 + (len(ahead) if ahead.all() else int(np.argmin(ahead)))
        else:
            steps = (1, 0)
        out.append(Run(int(to[i]), steps[0], int(source[i]), steps[1] if n > 1 else 0, n))
        i += n
    return out
