"""Split an operation by channel blocks where even one row of it exceeds a memory.

A pool over a large map (a global one reads it whole) is cut so that the map's blocks come one after another; a
Gemm with more columns than the parameter memory has records is cut by columns. The parts of an input are
slices, the parts of the result are joined by a Concat: neither has an instruction.
"""

from __future__ import annotations

import numpy as np

from vla_isa.hardware import HardwareConfig
from vlac.device.channel_slice import channel_blocks
from vlac.device.concat import ConcatOp
from vlac.ir.graph import Graph
from vlac.ir.operation import Op

__all__ = ["split_operations"]


def split_operations(graph: Graph, hw: HardwareConfig) -> None:
    """Split what is too large for its memory; channel maps must have been set."""
    for op in list(graph.ops):
        size = op.most_blocks(hw)
        if size is not None and op.output.blocks(hw.block) > size:
            _split(graph, op, size, hw.block)


def _split(graph: Graph, op: Op, size: int, block: int) -> None:
    whole, total = op.output, op.output.blocks(block)
    made: list[Op] = []
    results = []
    for first in range(0, total, size):
        out = channel_blocks(whole, first, min(first + size, total), block)
        results.append(out)
        made += op.split(first, out, block)
    channel_map = whole.known_map()
    order = np.asarray(channel_map[channel_map >= 0])
    graph.replace_op(op, *made, ConcatOp(op.node, "Concat", results, whole, order))
