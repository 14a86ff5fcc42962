"""Channel maps: plain order, and changing one map for another with a 0/1 matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlac.ir.graph import REORDER, Graph, Op, Tensor
from vlac.legalize.moves import zero_one

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
        moved = reordered(graph, tensor, lanes, graph.ops.index(op))
        tensor.consumers.remove(op)
        moved.consumers.append(op)
        op.inputs[number] = moved


def reordered(graph: Graph, tensor: Tensor, lanes: I64, position: int) -> Tensor:
    """`tensor` with another channel map, by a convolution or product with a 0/1 matrix before operation `position`."""
    out = Tensor(
        f"{tensor.name}:order{len(graph.ops)}",
        tensor.label,
        tensor.shape,
        tensor.scale,
        tensor.zero_point,
        unsigned=tensor.unsigned,
    )
    out.lanes = lanes
    graph.ops.insert(position, zero_one(tensor.label, REORDER, tensor, out, np.arange(tensor.c)))
    return out
