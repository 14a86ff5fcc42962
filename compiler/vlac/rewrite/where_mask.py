"""A choice by a constant mask between a computed value and constants becomes a product and a sum.

matches: Where(m, x, c) or Where(m, c, x) with constant m and c and computed float x; rewrite: x * m + (1 - m) * c,
which is exact for finite x: every element is x * 1 + 0 or x * 0 + c. Masks per channel then go into the layer before.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from vlac.model.reading import constant_input, shape_of
from vlac.rewrite.nodes import Nodes

__all__ = ["where_masks"]


def where_masks(model: ir.Model) -> None:
    """Rewrite every such node of a float model, in place."""
    for node in list(model.graph):
        if node.op_type != "Where" or node.domain not in ("", "ai.onnx") or node.outputs[0].dtype != ir.DataType.FLOAT:
            continue
        mask, first, second = (constant_input(node, i) for i in range(3))
        if mask is None or (first is None) == (second is None):
            continue
        chosen = mask if first is None else ~mask
        x, value = (node.inputs[1], second) if first is None else (node.inputs[2], first)
        assert x is not None and value is not None
        new, out = Nodes(model.graph, node), shape_of(node.outputs[0])
        product = new.add(
            "Mul", [x, new.constant(chosen.astype(np.float32))], np.broadcast_shapes(shape_of(x), mask.shape)
        )
        added = np.where(chosen, np.float32(0), value).astype(np.float32)
        new.replace(new.add("Add", [product, new.constant(added)], out))
