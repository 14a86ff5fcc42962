"""Local response normalization becomes a square, a 1x1 Conv that sums neighbouring channels, a function and a product.

matches: LRN (Krizhevsky et al. 2012) of one image [1, C, ...]; rewrite: x * (bias + Conv(x * x)) ** -beta, where the
Conv has alpha / size in the band of channels that ONNX's window holds, from (size - 1) // 2 below to size // 2 above.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from vlac.model.reading import attribute, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.match import is_op

__all__ = ["expand_lrn"]


def expand_lrn(model: ir.Model) -> None:
    """Rewrite every such normalization of a float model, in place."""
    for node in list(model.graph):
        if is_op(node, "LRN") and len(shape_of(node.inputs[0])) > 2 and shape_of(node.inputs[0])[0] == 1:
            _replace(model.graph, node)


def _replace(graph: ir.Graph, node: ir.Node) -> None:
    x, new = node.inputs[0], Nodes(graph, node)
    shape, size = shape_of(x), int(attribute(node, "size", 1))
    distance = np.subtract.outer(np.arange(shape[1]), np.arange(shape[1]))  # of what is read from what is written
    band = (-distance >= -((size - 1) // 2)) & (-distance <= size // 2)
    weights = (band * (attribute(node, "alpha", 1e-4) / size)).astype(np.float32)
    squares = new.add("Mul", [x, x], shape)
    sums = new.add("Conv", [squares, new.constant(weights.reshape(*weights.shape, *(1 for _ in shape[2:])))], shape)
    divisor = new.add("Add", [sums, new.constant(np.float32(attribute(node, "bias", 1.0)))], shape)
    factor = new.add("Pow", [divisor, new.constant(np.float32(-attribute(node, "beta", 0.75)))], shape)
    new.replace(new.add("Mul", [x, factor], shape))
