"""Models whose weights alone are quantized (int4 or int8, also in blocks) are float models with rounded weights.

The machine computes with 8-bit activations, so such a model is calibrated as any float model; its weights become the
real numbers that they stand for, and are quantized again per output channel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.reading import attribute, constant_input, is_constant
from vlac.rewrite.nodes import Nodes

__all__ = ["dequantize_weights"]


def dequantize_weights(model: ir.Model) -> None:
    """Replace every DequantizeLinear by its result where no activation of the model is quantized."""
    quantizers = [n for n in model.graph if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    if not all(n.op_type == "DequantizeLinear" and is_constant(n.outputs[0]) for n in quantizers):
        return
    for node in quantizers:
        new = Nodes(model.graph, node)
        new.replace(new.constant(_real(node)))


def _real(node: ir.Node) -> NDArray[np.float32]:
    q, scale, zero = (constant_input(node, i) for i in range(3))
    assert q is not None and scale is not None
    axis = attribute(node, "axis", 1) % max(q.ndim, 1)
    block = int(attribute(node, "block_size", 0))

    def spread(array: NDArray[Any]) -> NDArray[Any]:
        if block:
            return np.repeat(array, block, axis=axis)[tuple(slice(n) for n in q.shape)]
        return array.reshape([-1 if i == axis else 1 for i in range(q.ndim)]) if array.size > 1 else array.reshape(())

    offset = np.zeros((), np.float32) if zero is None else spread(zero.astype(np.float32))
    return np.asarray((q.astype(np.float32) - offset) * spread(scale.astype(np.float32)), np.float32)
