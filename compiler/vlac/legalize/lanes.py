"""Channel maps: plain order, and changing one map for another with a 0/1 matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlac.device.matrix import REORDER, zero_one
from vlac.ir.graph import Graph
from vlac.ir.operation import Op, Tensor

__all__ = ["in_channel_order", "padded_lanes", "reordered", "settle"]

I64 = NDArray[np.int64]


def padded_lanes(channels: int, block: int) -> I64:
    """Channels in order from position 0, padded to whole blocks."""
    lanes = np.full(-(-channels // block) * block, -1, np.int64)
    lanes[:channels] = np.arange(channels)
    return lanes


def in_channel_order(tensor: Tensor) -> bool:
    """Whether logical channels lie in ascending order, padding between them allowed."""
    lanes = tensor.lane_map()
    return bool((lanes[lanes >= 0] == np.arange((lanes >= 0).sum())).all())


def settle(graph: Graph, op: Op, number: int, lanes: I64) -> None:
    """Let an operation read input `number` with the channel map `lanes`, through a 0/1 matrix where it has another."""
    tensor = op.inputs[number]
    if not np.array_equal(tensor.lane_map(), lanes):
        graph.set_input(op, number, reordered(graph, tensor, lanes, op))


def reordered(graph: Graph, tensor: Tensor, lanes: I64, before: Op | None = None) -> Tensor:
    """`tensor` with another channel map, by a 0/1 matrix in front of `before` or at the end."""
    out = tensor.like(f"{tensor.name}:order{len(graph.ops)}")
    out.lanes = lanes
    graph.insert(zero_one(tensor.label, REORDER, tensor, out, np.arange(tensor.c)), before)
    return out
