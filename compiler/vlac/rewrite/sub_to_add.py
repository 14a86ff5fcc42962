"""A difference of rows becomes a sum with -1 times the second operand, in a model with norms or attention.

matches: Sub of two computed values of one shape, no images; rewrite: a + (-1) * b. The factor goes into the layer that
makes b (`fold_affine.py`), and the sum can be that of an int16 stream, as in a step x - dt * v of a flow.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from vlac.ir.geometry import is_image
from vlac.model.reading import is_constant, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.match import is_op

__all__ = ["sub_to_add"]

_SEQUENCE = ("Attention", "LayerNormalization", "RMSNormalization")


def sub_to_add(model: ir.Model) -> None:
    """Rewrite every such difference of a float model, in place."""
    if not any(is_op(node, op) for node in model.graph for op in _SEQUENCE):
        return
    for node in list(model.graph):
        if not is_op(node, "Sub") or node.outputs[0].dtype != ir.DataType.FLOAT:
            continue
        shape, (a, b) = shape_of(node.outputs[0]), node.inputs
        computed = not any(is_constant(v) for v in (a, b))
        if computed and shape_of(a) == shape_of(b) == shape and len(shape) > 1 and not is_image(shape):
            new = Nodes(model.graph, node)
            new.replace(new.add("Add", [a, new.add("Mul", [b, new.constant(np.float32(-1))], shape)], shape))
