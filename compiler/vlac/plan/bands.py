"""Bands of output rows: loads, computing and stores overlap where an operation is done in several.

Not here: chunks of output blocks (`loads.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from vla_isa.hardware import LINE_BYTES, HardwareConfig
from vlac.errors import AllocationError
from vlac.ir.cut import Span
from vlac.ir.graph import Graph
from vlac.ir.operation import Op, Tensor

__all__ = ["Streaming", "overlap_bands", "spans_of", "streaming_bands"]

_PACKET_COST = 40  # cycles between packets, about
_MAX_BANDS = 16
_SPAN = 32  # pixels of a row that is worth cutting


@dataclass(frozen=True)
class Streaming:
    """The bands of an operation with streamed tensors: rows of each on chip, and whether the next band loads early."""

    bands: list[Span]
    rings: dict[Tensor, int]
    prefetch: bool


def overlap_bands(graph: Graph, op: Op, hw: HardwareConfig, *, fused: bool) -> list[Span]:
    """Bands where a transfer can hide behind computing: from a model input, to an output, or to a pool."""
    loads = [t for t in op.inputs if t in graph.inputs and t.h > 1]
    stores = graph.is_output(op.output) and op.output.h > 1
    if not (loads or stores or fused) or not op.in_bands:
        return [(0, op.output.h)]
    moved = [*loads, *([op.output] if stores else [])] or [op.output]
    lines = max(t.h * t.row_words(hw.block) * hw.act_word_bytes // LINE_BYTES for t in moved)
    count = max(1, min(_MAX_BANDS, math.isqrt(lines // _PACKET_COST), op.output.h))
    rows = -(-op.output.h // count)
    return _ramp(op, _bands_of(op, rows), first=bool(loads), last=stores)


def spans_of(op: Op, hw: HardwareConfig) -> list[Span]:
    """The pixels of one row in two halves of whole strips, where the row is long.

    A norm of one half runs beside the products of the other.
    """
    w = op.output.w
    half = -(-w // (2 * hw.pixels)) * hw.pixels
    return [(0, half), (half, w)] if op.output.h == 1 and w >= _SPAN and half < w else [(0, w)]


def _bands_of(op: Op, rows: int) -> list[Span]:
    """Output rows in bands of `rows`; a last band whose windows see padding only is joined to the one before."""
    h = op.output.h
    cuts = [y for y in range(0, h, rows) if y == 0 or op.sees_input(y)]
    return list(zip(cuts, [*cuts[1:], h], strict=True))


def _ramp(op: Op, bands: list[Span], *, first: bool, last: bool) -> list[Span]:
    """Halve the first band that waits for a load and the last one whose store nothing hides."""
    rows = bands[0][1] - bands[0][0]
    if rows < 4 or len(bands) < 3:
        return bands
    cuts = [b[0] for b in bands] + [bands[-1][1]]
    if first:
        cuts += [rows // 4, rows // 2]
    if last:
        y0, y1 = bands[-1]
        cuts += [y for y in (y1 - rows // 2, y1 - rows // 4) if y > y0 and op.sees_input(y)]
    cuts = sorted(set(cuts))
    return list(pairwise(cuts))


def streaming_bands(op: Op, streams: list[Tensor], hw: HardwareConfig, ring_words: int) -> Streaming:
    """The largest bands whose rings take at most `ring_words` each, and the rings' rows.

    Raises:
        AllocationError: one row of output needs more than the scratchpad.
    """
    for rows in sorted({op.output.h, *(1 << i for i in range(op.output.h.bit_length()))}, reverse=True):
        bands = _bands_of(op, rows)
        rings = {t: _ring_rows(op, t, bands, ahead=True) for t in streams}
        words = _words(rings, hw)
        if all(w <= ring_words for w in words.values()) or rows == 1:
            break
    prefetch = sum(words.values()) <= hw.act_words
    if not prefetch:
        rings = {t: _ring_rows(op, t, bands, ahead=False) for t in streams}
        words = _words(rings, hw)
    if sum(words.values()) > hw.act_words:
        needs = ", ".join(f"{r} of '{t.label}' ({words[t] * hw.act_word_bytes} bytes)" for t, r in rings.items())
        raise AllocationError(
            f"{op.op_type} '{op.node}': for one row of output these rows must be on chip: {needs}; that is "
            f"{sum(words.values()) * hw.act_word_bytes} bytes, more than the {hw.act_words * hw.act_word_bytes} of the "
            f"activation scratchpad on '{hw.name}'; use a config with more memory or a narrower image",
            op.node,
        )
    return Streaming(bands, rings, prefetch)


def _words(rings: dict[Tensor, int], hw: HardwareConfig) -> dict[Tensor, int]:
    return {t: r * t.row_words(hw.block) for t, r in rings.items()}


def _ring_rows(op: Op, tensor: Tensor, bands: list[Span], *, ahead: bool) -> int:
    """Rows of a streamed tensor on chip: one band in use, and `ahead` the next one loading (the last one storing)."""
    spans = bands if tensor is op.output else [op.input_rows(*b, op.inputs.index(tensor)) for b in bands]
    following = [*spans[1:], spans[-1]] if ahead else spans
    if tensor is op.output:
        return min(tensor.h, max(n[1] - s[0] for s, n in zip(spans, following, strict=True)))
    return min(tensor.h, max(max(s[1], n[1]) - s[0] for s, n in zip(spans, following, strict=True)))
