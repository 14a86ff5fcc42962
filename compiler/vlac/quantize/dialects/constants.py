"""Quantized constants as constants: torchao and PT2E write weights as float -> Q -> (Clip) -> DQ -> (Transpose).

Q and Clip of a constant become the integers they make, a Transpose or Reshape of a dequantized constant moves in
front of its DequantizeLinear. A float bias beside quantized weights stays: the layer rounds it to its accumulator.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.ops.spec import attribute, constant_input

__all__ = ["fold_constants"]


def fold_constants(model: ir.Model) -> None:
    """Fold all of them, in one walk over the nodes in order."""
    for node in list(model.graph):
        if node.op_type == "QuantizeLinear":
            _fold_integers(model.graph, node, _quantized(node))
        elif node.op_type == "Clip":
            _fold_integers(model.graph, node, _clipped(node))
        elif node.op_type == "Transpose":
            _fold_transpose(model.graph, node)


def _quantized(node: ir.Node) -> NDArray[Any] | None:
    """The integers of a QuantizeLinear of a constant: round to nearest even, saturate."""
    x, scale, zero = (constant_input(node, i) for i in range(3))
    if x is None or scale is None or attribute(node, "block_size", 0):
        return None
    kind = np.dtype(np.uint8) if zero is None else zero.dtype
    offset = np.zeros(1, np.int64) if zero is None else zero.astype(np.int64).reshape(-1)
    axis = attribute(node, "axis", 1) % max(x.ndim, 1)
    shape = [-1 if i == axis else 1 for i in range(x.ndim)] if scale.size > 1 else [1] * x.ndim
    steps = np.rint(x.astype(np.float32) / scale.astype(np.float32).reshape(shape))
    limits = np.iinfo(kind)
    found = np.clip(steps + offset.reshape(shape if offset.size > 1 else [1] * x.ndim), limits.min, limits.max)
    return np.asarray(found.astype(kind))


def _clipped(node: ir.Node) -> NDArray[Any] | None:
    x = constant_input(node, 0)
    if x is None or x.dtype.kind not in "iu":
        return None
    low, high = constant_input(node, 1), constant_input(node, 2)
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _fold_integers(graph: ir.Graph, node: ir.Node, found: NDArray[Any] | None) -> None:
    if found is None or node.outputs[0].is_graph_output():
        return
    _replace(graph, node, _constant(graph, found, f"{node.outputs[0].name}.integers"))


def _fold_transpose(graph: ir.Graph, node: ir.Node) -> None:
    producer = node.inputs[0].producer() if node.inputs[0] is not None else None
    if producer is None or producer.op_type != "DequantizeLinear" or node.outputs[0].is_graph_output():
        return
    q, scale = constant_input(producer, 0), constant_input(producer, 1)
    if q is None or scale is None:
        return
    order = list(attribute(node, "perm", range(q.ndim)[::-1]))
    turned = np.ascontiguousarray(q.transpose(order))
    value = _constant(graph, turned, f"{node.outputs[0].name}.integers")
    axis = attribute(producer, "axis", 1) % max(q.ndim, 1)
    new = ir.node(
        "DequantizeLinear",
        [value, *producer.inputs[1:]],
        {"axis": order.index(axis)} if scale.size > 1 else {},
        name=f"{node.outputs[0].name}.dequantized",
    )
    out = new.outputs[0]
    out.name, out.shape, out.dtype = new.name, ir.Shape(turned.shape), ir.DataType.FLOAT
    graph.insert_before(node, new)
    _replace(graph, node, out)


def _constant(graph: ir.Graph, array: NDArray[Any], name: str) -> ir.Value:
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    value.shape, value.dtype = ir.Shape(array.shape), ir.DataType.from_numpy(array.dtype)
    graph.initializers[name] = value
    return value


def _replace(graph: ir.Graph, node: ir.Node, value: ir.Value) -> None:
    node.outputs[0].replace_all_uses_with(value)
    graph.remove(node, safe=True)
