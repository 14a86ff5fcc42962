"""Chunks of output blocks, whose weights load while those before them are used, and the layout of parameters.

Not here: when they are loaded (`residency.py`), their bytes (`emit/`).
"""

from __future__ import annotations

from collections.abc import Sequence

from vla_isa.hardware import BEAT_BYTES, HardwareConfig
from vlac.device.rotate_pairs import RotatePairsOp
from vlac.errors import AllocationError
from vlac.ir.cut import Parameter, ParamLayout, Span, WeightLayout
from vlac.ir.operation import Op

__all__ = ["chunks_of", "param_layout"]

_CHUNKS = 16  # pieces of a layer that is bound by its weights


def chunks_of(op: Op, weights: WeightLayout, bands: int, hw: HardwareConfig, *, chained: bool) -> list[Span]:
    """Out blocks per packet: all, or few where weights are the bottleneck or exceed the scratchpad.

    With `chained` operations in front of it hide the load of its first chunk, and fewer packets are better.

    Raises:
        AllocationError: one block alone exceeds it.
    """
    outs = len(weights.live)
    if bands > 1 and weights.total <= hw.weight_words // 2:
        return [(0, outs)]
    compute = -(-op.output.h * op.output.w // hw.pixels) * weights.total
    load = weights.total * hw.weight_word_bytes // (BEAT_BYTES * hw.weight_masters)
    limit = hw.weight_words // 4
    if 2 * load > compute:
        limit = min(limit, hw.weight_words // 8 if chained else max(weights.total // _CHUNKS, 64))
    chunks: list[Span] = []
    for o in range(outs):
        first = chunks[-1][0] if chunks else 0
        if chunks and weights.span((first, o + 1))[1] <= limit:
            chunks[-1] = (first, o + 1)
        else:
            chunks.append((o, o + 1))
    if len(chunks) == 1 and chained:
        chunks = _as_read(op, outs)
    largest = max(weights.span(c)[1] for c in chunks)
    if largest > hw.weight_words:
        raise AllocationError(
            f"{op.op_type} '{op.node}': one block of {hw.block} output channels has {largest} weight words, "
            f"more than the {hw.weight_words} of the weight scratchpad on '{hw.name}'",
            op.node,
        )
    return chunks


def _as_read(op: Op, outs: int) -> list[Span]:
    """The blocks with which its only reader begins, then the others: vector work beside the array's."""
    readers = op.output.consumers
    if len(readers) != 1 or not isinstance(readers[0], RotatePairsOp) or readers[0].first_blocks >= outs:
        return [(0, outs)]
    return [(0, readers[0].first_blocks), (readers[0].first_blocks, outs)]


def param_layout(parameters: Sequence[Parameter]) -> ParamLayout:
    """One parameter after another."""
    size, records = 0, []
    single: dict[str, int] = {}
    for p in parameters:
        if p.role == "records":
            records.append(size)
        single.setdefault(p.role, size)
        size += p.words
    return ParamLayout(size, tuple(records), single.get("table"), single.get("mask"))
