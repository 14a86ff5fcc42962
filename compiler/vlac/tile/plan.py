"""Cut every operation: which rows (bands) and which output blocks (chunks) one packet computes.

A stage is what is emitted together: one operation, or a convolution and the pool behind it, band by band.
Bands let loads, computing and stores overlap at the edges of the program; chunks let weights load while the
ones before them are used. Input: a placed graph. Output: a Plan. Not here: addresses (`allocate/`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

from vla_isa.hardware import HardwareConfig
from vlac.device.conv import ConvOp
from vlac.device.gemm import GemmOp
from vlac.device.pool import PoolOp
from vlac.device.vec import VecOp
from vlac.errors import AllocationError
from vlac.ir.graph import Graph
from vlac.ir.operation import Op, Tensor
from vlac.tile.pack_params import OpParams, pack_params
from vlac.tile.pack_weights import PackedWeights, pack_weights

__all__ = ["OpPlan", "Plan", "Span", "Stage", "bands_of", "make_plan"]

Span = tuple[int, int]
_PACKET_COST = 40  # cycles between packets, about
_MAX_BANDS = 16
_CHUNKS = 16  # pieces of a layer that is bound by its weights


@dataclass
class OpPlan:
    """One operation: bands of output rows, chunks of output blocks, and what is loaded for it."""

    op: Op
    bands: list[Span]
    chunks: list[Span] = field(default_factory=lambda: [(0, 0)])
    weights: PackedWeights | None = None
    params: OpParams | None = None


@dataclass
class Stage:
    """Operations emitted together, band by band."""

    plans: list[OpPlan]


@dataclass
class Plan:
    """The whole program's cut.

    `streamed`: tensors that live in the data space, in the order in which they were chosen, which is that of
    their lines. `rings[(stage, tensor)]` is how many of its rows are on chip in a stage. `tight`: stages whose
    rings have no room for the next band while one is in use.
    """

    stages: list[Stage]
    streamed: dict[Tensor, None] = field(default_factory=dict)
    rings: dict[tuple[int, Tensor], int] = field(default_factory=dict)
    tight: set[int] = field(default_factory=set)


def make_plan(
    graph: Graph, hw: HardwareConfig, streamed: dict[Tensor, None], packed: dict[Op, PackedWeights], ring_words: int
) -> Plan:
    """Stages, bands and chunks; `streamed` roots are read and written in bands.

    `packed` keeps packed weights from one attempt to the next; a ring takes at most `ring_words` unless one
    row of output needs more.

    Raises:
        AllocationError: an operation that cannot be cut finely enough.
    """
    stages = [Stage([OpPlan(op, [(0, op.output.h)]) for op in ops]) for ops in _stages(graph, streamed)]
    plan = Plan(stages, streamed)
    for number, stage in enumerate(stages):
        for p in stage.plans:
            streams = [t for t in dict.fromkeys([*p.op.inputs, p.op.output]) if t.root in streamed]
            if streams and p.op.queue:
                p.bands = _streaming_bands(p.op, streams, hw, plan, number, ring_words)
            elif p.op.queue:
                p.bands = _overlap_bands(graph, p.op, hw, fused=len(stage.plans) > 1)
            _cut_blocks(p, hw, packed)
    return plan


def _stages(graph: Graph, streamed: dict[Tensor, None]) -> list[list[Op]]:
    """Operations in order, a convolution and the pool that reads it joined."""
    stages: list[list[Op]] = []
    for op in graph.ops:
        last = stages[-1][-1] if stages else None
        joined = (
            isinstance(op, (PoolOp, VecOp))
            and isinstance(last, ConvOp)
            and last.output is op.inputs[0]
            and op.output.h >= 4
            and not {t.root for t in (*op.inputs, op.output)} & streamed.keys()
        )
        if joined:
            stages[-1].append(op)
        else:
            stages.append([op])
    return stages


def _cut_blocks(p: OpPlan, hw: HardwareConfig, packed: dict[Op, PackedWeights]) -> None:
    """Pack the weights, cut them in chunks, and lay out the parameters."""
    op = p.op
    if isinstance(op, (ConvOp, GemmOp)):
        if op not in packed:
            packed[op] = pack_weights(op, hw)
        p.weights = packed[op]
        p.chunks = _chunks(op, p.weights, len(p.bands), hw)
    if op.queue:
        p.params = pack_params(op, p.weights, p.chunks, hw)


# --- bands ----------------------------------------------------------------------------------------------


def bands_of(op: Op, rows: int) -> list[Span]:
    """Output rows in bands of `rows`; a last band whose windows see padding only is joined to the one before."""
    h = op.output.h
    cuts = [y for y in range(0, h, rows) if y == 0 or _sees_input(op, y)]
    return list(zip(cuts, [*cuts[1:], h], strict=True))


def _sees_input(op: Op, y: int) -> bool:
    """Whether the window of output row y does not lie in the padding behind the input."""
    return not isinstance(op, (ConvOp, PoolOp)) or y * op.strides[0] - op.pads[0] < op.inputs[0].h


def _overlap_bands(graph: Graph, op: Op, hw: HardwareConfig, *, fused: bool) -> list[Span]:
    """Bands where a transfer can hide behind computing: from a model input, to an output, or to a pool."""
    loads = [t for t in op.inputs if t in graph.inputs and t.h > 1]
    stores = graph.is_output(op.output) and op.output.h > 1
    if not (loads or stores or fused) or isinstance(op, GemmOp):
        return [(0, op.output.h)]
    moved = [*loads, *([op.output] if stores else [])] or [op.output]
    lines = max(t.h * t.w * t.blocks(hw.block) * hw.act_word_bytes // 64 for t in moved)
    count = max(1, min(_MAX_BANDS, math.isqrt(lines // _PACKET_COST), op.output.h))
    rows = -(-op.output.h // count)
    bands = bands_of(op, rows)
    return _ramp(op, bands, first=bool(loads), last=bool(stores))


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
        cuts += [y for y in (y1 - rows // 2, y1 - rows // 4) if y > y0 and _sees_input(op, y)]
    cuts = sorted(set(cuts))
    return list(pairwise(cuts))


def _streaming_bands(
    op: Op, streams: list[Tensor], hw: HardwareConfig, plan: Plan, number: int, ring_words: int
) -> list[Span]:
    """The largest bands whose rings take at most `ring_words` each, and the rings' rows."""
    for rows in sorted({op.output.h, *(1 << i for i in range(op.output.h.bit_length()))}, reverse=True):
        bands = bands_of(op, rows)
        rings = {t: _ring_rows(op, t, bands, ahead=True) for t in streams}
        words = _words(rings, hw)
        if all(w <= ring_words for w in words.values()) or rows == 1:
            break
    if sum(words.values()) > hw.act_words:
        plan.tight.add(number)
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
    for t, r in rings.items():
        plan.rings[number, t] = r
    return bands


def _words(rings: dict[Tensor, int], hw: HardwareConfig) -> dict[Tensor, int]:
    return {t: r * t.w * t.blocks(hw.block) for t, r in rings.items()}


def _ring_rows(op: Op, tensor: Tensor, bands: list[Span], *, ahead: bool) -> int:
    """Rows of a streamed tensor on chip: one band in use, and `ahead` the next one loading (the last one storing)."""
    spans = bands if tensor is op.output else [op.input_rows(*b, op.inputs.index(tensor)) for b in bands]
    following = [*spans[1:], spans[-1]] if ahead else spans
    if tensor is op.output:
        return min(tensor.h, max(n[1] - s[0] for s, n in zip(spans, following, strict=True)))
    return min(tensor.h, max(max(s[1], n[1]) - s[0] for s, n in zip(spans, following, strict=True)))


# --- chunks ---------------------------------------------------------------------------------------------


def _chunks(op: Op, weights: PackedWeights, bands: int, hw: HardwareConfig) -> list[Span]:
    """Out blocks per packet: all, or few where weights are the bottleneck or exceed the scratchpad."""
    starts = weights.starts
    total, outs = int(starts[-1]), len(starts) - 1
    if bands > 1 and total <= hw.weight_words // 2:
        return [(0, outs)]
    pixels = op.output.w if isinstance(op, GemmOp) else op.output.h * op.output.w
    compute = -(-pixels // hw.pixels) * total
    load = total * hw.weight_word_bytes // (32 * hw.weight_masters)
    limit = hw.weight_words // 4
    if 2 * load > compute:
        limit = min(limit, max(total // _CHUNKS, 64))
    chunks: list[Span] = []
    for o in range(outs):
        first = chunks[-1][0] if chunks else 0
        if chunks and starts[o + 1] - starts[first] <= limit:
            chunks[-1] = (first, o + 1)
        else:
            chunks.append((o, o + 1))
    largest = max(int(starts[b] - starts[a]) for a, b in chunks)
    if largest > hw.weight_words:
        raise AllocationError(
            f"{op.op_type} '{op.node}': one block of {hw.block} output channels has {largest} weight words, "
            f"more than the {hw.weight_words} of the weight scratchpad on '{hw.name}'",
            op.node,
        )
    return chunks
