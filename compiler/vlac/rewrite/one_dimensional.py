"""Layers over one axis become layers over images of one row: [1, C, L] as [1, C, 1, L].

Convolutions, pools and batch norms are rewritten, and what lies between them (functions of each element, Concat of
channels, reductions over L) follows; every result gets a Squeeze back to its own shape, which falls away where
nobody reads it. Not here: operators that are 2-D already, and quantized models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from vlac.import_onnx.names import unique_name
from vlac.ops import BY_NAME
from vlac.ops.spec import attribute, constant, constant_input, shape_of
from vlac.rewrite.nodes import initializer

__all__ = ["widen"]

_WINDOWS = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool")
_REDUCTIONS = ("ReduceMean", "ReduceSum", "ReduceMax")
# what each attribute is for the row axis
_ROW = {"kernel_shape": 1, "strides": 1, "dilations": 1, "output_padding": 0, "output_shape": 1}


def widen(model: ir.Model) -> None:
    """Rewrite every such node of a float model, in place."""
    wide: dict[ir.Value, ir.Value] = {}
    for node in list(model.graph):
        if node.domain in ("", "ai.onnx") and len(node.outputs) == 1 and len(shape_of(node.outputs[0])) <= 3:
            inputs = _inputs(model, node, wide)
            if inputs is not None:
                _replace(model, node, inputs, wide)


def _inputs(model: ir.Model, node: ir.Node, wide: dict[ir.Value, ir.Value]) -> list[ir.Value | None] | None:
    """The inputs of the image form of a node, or None where it stays as it is."""
    x = node.inputs[0] if node.inputs else None
    if x is None:
        return None
    if (node.op_type in _WINDOWS or node.op_type == "BatchNormalization") and len(shape_of(x)) == 3:
        first = wide.get(x) or _axis(model, "Unsqueeze", x, _with_row(shape_of(x)))
        rest = list(node.inputs[1:])
        if node.op_type in ("Conv", "ConvTranspose"):
            weight = constant(rest[0])
            if weight is None:
                return None
            rest[0] = initializer(model.graph, f"{node.name or node.outputs[0].name}.weight2d", weight[:, :, None])
        return [first, *rest]
    if node.op_type in _REDUCTIONS and x in wide and _reduced(node) == [2]:
        return [wide[x]]
    spec = BY_NAME.get(node.op_type)
    joined = node.op_type == "Concat" and attribute(node, "axis", 0) % 3 == 1
    by_element = spec is not None and (spec.function is not None or node.op_type in ("Identity", "Dropout"))
    if len(shape_of(node.outputs[0])) != 3 or not (joined or by_element):
        return None
    found = [_operand(model, v, wide) for v in node.inputs]
    known = [f is not None or v is None for f, v in zip(found, node.inputs, strict=True)]
    return found if all(known) and any(v in wide for v in node.inputs) else None


def _operand(model: ir.Model, value: ir.Value | None, wide: dict[ir.Value, ir.Value]) -> ir.Value | None:
    """An operand of a function of each element in its image form; constants broadcast as before."""
    if value is None or value in wide:
        return wide[value] if value is not None else None
    array = constant(value)
    if array is None:
        return None
    if array.ndim < 2:
        return value  # a scalar, or one value per position of L
    return initializer(model.graph, f"{value.name}.2d", np.expand_dims(array, -2))


def _reduced(node: ir.Node) -> list[int]:
    given = constant_input(node, 1)
    axes = attribute(node, "axes", ()) if given is None else given.reshape(-1).tolist()
    return [int(a) % 3 for a in axes]


def _replace(model: ir.Model, node: ir.Node, inputs: Sequence[ir.Value | None], wide: dict[ir.Value, ir.Value]) -> None:
    out = node.outputs[0]
    attributes: dict[str, Any] = {}
    for name, found in node.attributes.items():
        if name in _ROW:
            attributes[name] = [_ROW[name], *found.value]
        elif name == "pads":
            attributes[name] = [0, found.value[0], 0, found.value[1]]
        elif name == "axis":
            attributes[name] = 1  # a Concat of channels
        elif name != "axes":
            attributes[name] = found.value
    shape = shape_of(out)
    keeps = len(shape) == 3
    if node.op_type in _REDUCTIONS:
        axes = initializer(model.graph, f"{out.name}.axes", np.array([2, 3], np.int64))
        if constant_input(node, 1) is None:
            attributes["axes"] = [2, 3]
        else:
            inputs = [*inputs, axes]
    made = ir.node(node.op_type, inputs, attributes, name=node.name)
    result = made.outputs[0]
    result.dtype = out.dtype
    new = [made]
    if keeps:
        result.shape, result.name = ir.Shape(_with_row(shape)), unique_name(model.graph, f"{out.name}.2d")
        axis = initializer(model.graph, f"{out.name}.row", np.array([2], np.int64))
        back = ir.node("Squeeze", [result, axis], name=unique_name(model.graph, f"{node.name or out.name}.squeeze"))
        back.outputs[0].dtype, back.outputs[0].shape = out.dtype, out.shape
        new.append(back)
    else:
        result.shape = out.shape
    last = new[-1].outputs[0]
    ir.convenience.replace_nodes_and_values(model.graph, node, [node], new, [out], [last])
    if keeps:
        wide[last] = result


def _with_row(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:2], 1, shape[2])


def _axis(model: ir.Model, op: str, x: ir.Value, shape: tuple[int, ...]) -> ir.Value:
    """`x` with its row axis added, just behind the node that makes it."""
    axes = initializer(model.graph, f"{x.name}.row", np.array([2], np.int64))
    node = ir.node(op, [x, axes], name=unique_name(model.graph, f"{x.name}.unsqueeze"))
    out = node.outputs[0]
    out.name, out.dtype, out.shape = unique_name(model.graph, f"{x.name}.2d"), x.dtype, ir.Shape(shape)
    producer = x.producer()
    if producer is not None:
        model.graph.insert_after(producer, node)
    else:
        model.graph.insert_before(model.graph[0], node)
    return out
