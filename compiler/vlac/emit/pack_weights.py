"""Weights as the array reads them: words of B x B bytes in the order [out block][live in block][ky][kx].

Not here: which blocks are live (`device/weights`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlac.device.weights import over_positions
from vlac.ir.cut import WeightLayout, Weights
from vlac.ir.operation import Op

__all__ = ["pack_weights"]


def pack_weights(op: Op, weights: Weights, layout: WeightLayout, block: int) -> NDArray[np.int8]:
    """The words of a layer whose tensors have their channel maps, int8 [n, B * B]; padding channels have zeros."""
    source, target = op.inputs[0].known_map(), op.output.known_map()
    dense = over_positions(weights.values, weights.group, source, target)
    shape = len(target) // block, block, len(source) // block, block, *weights.values.shape[2:]
    blocks = dense.reshape(shape).transpose(0, 2, 4, 5, 1, 3)
    return np.ascontiguousarray(blocks[layout.live]).reshape(-1, block * block)
