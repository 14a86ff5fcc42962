"""Split an operation by channel blocks where even one row of it exceeds a memory.

A pool over a large map (a global one reads it whole) is cut so that the map's blocks come one after another; a
Gemm with more columns than the parameter memory has records is cut by columns. The parts of an input are
Slices, the parts of the result are joined by a Concat: neither has an instruction.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vla_isa.hardware import HardwareConfig
from vlac.device.channel_slice import ChannelSlice
from vlac.device.concat import ConcatOp
from vlac.device.gemm import GemmOp
from vlac.device.pool import PoolOp
from vlac.ir.graph import Graph
from vlac.ir.operation import Op, Tensor

__all__ = ["split_operations"]


def split_operations(graph: Graph, hw: HardwareConfig) -> None:
    """Split what is too large for its memory; channel maps must have been set."""
    for op in list(graph.ops):
        if isinstance(op, PoolOp):
            size = _pool_blocks(op, hw)
        elif isinstance(op, GemmOp):
            size = hw.param_words // 4
        else:
            continue
        if op.output.blocks(hw.block) > size:
            _split(graph, op, size, hw.block)


def _pool_blocks(op: PoolOp, hw: HardwareConfig) -> int:
    """How many channel blocks of a pool go together: all, unless one output row needs half the scratchpad."""
    x = op.inputs[0]
    first, last = zip(*(op.input_rows(y, y + 1) for y in range(op.output.h)), strict=True)
    words = max(np.subtract(last, first)) * x.w
    blocks = x.blocks(hw.block)
    return blocks if words * blocks <= hw.act_words // 2 else max(1, int(hw.act_words // 4 // words))


def _split(graph: Graph, op: PoolOp | GemmOp, size: int, block: int) -> None:
    whole, total = op.output, op.output.blocks(block)
    made: list[Op] = []
    results: list[Tensor] = []
    for first in range(0, total, size):
        out = _part(whole, first, min(first + size, total), block)
        results.append(out)
        if isinstance(op, PoolOp):
            x = _part(op.inputs[0], first, min(first + size, total), block)
            made.append(ChannelSlice(op.node, "Slice", [op.inputs[0]], x))
            made.append(replace(op, inputs=[x], output=out))
        else:
            made.append(_columns(op, out, first * block))
    graph.replace_op(op, *made, ConcatOp(op.node, "Concat", results, whole))


def _part(whole: Tensor, first: int, last: int, block: int) -> Tensor:
    """Channel blocks [first, last) of a tensor, inside it; its channels are numbered from 0 in their order."""
    lanes = whole.lane_map()[first * block : last * block]
    real = lanes >= 0
    channels = int(real.sum())
    shape = (1, channels, whole.h, whole.w) if len(whole.shape) == 4 else (*whole.shape[:-1], channels)
    part = whole.like(f"{whole.name}:blocks{first}", label=f"{whole.label}:blocks{first}", shape=shape)
    part.lanes = np.where(real, np.cumsum(real) - 1, -1)
    part.parent, part.offset = whole, first
    return part


def _columns(op: GemmOp, out: Tensor, first_lane: int) -> GemmOp:
    """The Gemm of the columns in `out`, a part of the result from lane `first_lane` on."""
    lanes = op.output.lane_map()[first_lane : first_lane + len(out.lane_map())]
    columns = lanes[lanes >= 0]
    r = op.requant
    requant = replace(r, bias=r.bias[columns], mult=r.mult[columns], shift=r.shift[columns])
    return GemmOp(op.node, op.op_type, list(op.inputs), out, op.weight[columns], requant)
