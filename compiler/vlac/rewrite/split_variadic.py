"""Max, Min, Sum and Mean of more than two operands become chains of two, so that every step is quantized.

Mean of n becomes n - 1 Adds and a Mul by 1 / n.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

__all__ = ["split_variadic"]

_STEPS = {"Max": "Max", "Min": "Min", "Sum": "Add", "Mean": "Add"}


def split_variadic(model: ir.Model) -> None:
    """Split every such node of the model, in place."""
    for node in list(model.graph):
        if node.op_type in _STEPS and node.domain in ("", "ai.onnx") and len(node.inputs) > 2:
            _split(model, node)


def _split(model: ir.Model, node: ir.Node) -> None:
    result, count = node.outputs[0], len(node.inputs)
    total, rest = node.inputs[0], node.inputs[1:]
    assert total is not None
    new: list[ir.Node] = []
    for index, operand in enumerate(rest):
        name = f"{node.name or result.name}.{index}"
        new.append(ir.node(_STEPS[node.op_type], [total, operand], name=name))
        total = new[-1].outputs[0]
        total.name, total.dtype = f"{result.name}.{index}", result.dtype
        total.shape = ir.Shape(np.broadcast_shapes(*(_shape(v) for v in node.inputs[: index + 2])))
    if node.op_type == "Mean":
        factor = ir.Value(name=f"{result.name}.share", const_value=ir.tensor(np.float32(1 / count)))
        factor.dtype, factor.shape = result.dtype, ir.Shape(())
        model.graph.register_initializer(factor)
        new.append(ir.node("Mul", [total, factor], name=f"{node.name or result.name}.mean"))
        total = new[-1].outputs[0]
        total.dtype, total.shape = result.dtype, result.shape
    ir.convenience.replace_nodes_and_values(model.graph, node, [node], new, [result], [total])


def _shape(value: ir.Value | None) -> tuple[int, ...]:
    assert value is not None and value.shape is not None
    return tuple(int(d) for d in value.shape)
