"""Max, Min, Sum and Mean of more than two operands become chains of two, so that every step is quantized.

Mean of n becomes n - 1 Adds and a Mul by 1 / n.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from vlac.model.reading import shape_of
from vlac.rewrite.nodes import Nodes

__all__ = ["split_variadic"]

_STEPS = {"Max": "Max", "Min": "Min", "Sum": "Add", "Mean": "Add"}


def split_variadic(model: ir.Model) -> None:
    """Split every such node of the model, in place."""
    for node in list(model.graph):
        if node.op_type in _STEPS and node.domain in ("", "ai.onnx") and len(node.inputs) > 2:
            _split(Nodes(model.graph, node), node)


def _split(new: Nodes, node: ir.Node) -> None:
    operands = [v for v in node.inputs if v is not None]
    total = operands[0]
    for operand in operands[1:]:
        shape = np.broadcast_shapes(shape_of(total), shape_of(operand))
        total = new.add(_STEPS[node.op_type], [total, operand], shape)
    if node.op_type == "Mean":
        share = new.constant(np.float32(1 / len(operands)))
        total = new.add("Mul", [total, share], shape_of(node.outputs[0]))
    new.replace(total)
