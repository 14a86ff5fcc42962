"""Quantized constants as 8-bit constants: torchao and PT2E write weights as float -> Q -> (Clip) -> DQ -> (Transpose).

Integers of 4 bits become the same ones in 8. Q and Clip of a constant become the integers they make, a Transpose or
another view of a dequantized constant moves in front of its DequantizeLinear. A float bias beside quantized weights
stays: the layer rounds it to its accumulator.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.reading import attribute, constant_input, integer_type, shape_of
from vlac.rewrite.nodes import Nodes

__all__ = ["fold_constants"]

_NARROW = {"int4": np.int8, "uint4": np.uint8, "int2": np.int8, "uint2": np.uint8}
_VIEWS = ("Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")


def fold_constants(model: ir.Model) -> None:
    """Fold all of them, in one walk over the nodes in order."""
    for node in list(model.graph):
        if node.op_type == "DequantizeLinear":
            _widen(model.graph, node)
        elif node.op_type == "QuantizeLinear":
            _fold_integers(model.graph, node, _quantized(node))
        elif node.op_type == "Clip":
            _fold_integers(model.graph, node, _clipped(node))
        elif node.op_type == "Transpose" or node.op_type in _VIEWS:
            _fold_view(model.graph, node)


def _widen(graph: ir.Graph, node: ir.Node) -> None:
    """Integers of fewer bits, and their zero point, as int8 or uint8."""
    for index in (0, 2):
        array = constant_input(node, index)
        kind = _NARROW.get(array.dtype.name) if array is not None else None
        if array is not None and kind is not None:
            node.replace_input_with(index, Nodes(graph, node).constant(array.astype(kind)))


def _quantized(node: ir.Node) -> NDArray[Any] | None:
    """The integers of a QuantizeLinear of a constant: round to nearest even, saturate."""
    x, scale, zero = (constant_input(node, i) for i in range(3))
    if x is None or scale is None or attribute(node, "block_size", 0):
        return None
    kind = integer_type(node)
    if kind.kind not in "iu":
        return None  # float8 and the like: refused later
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
    if found is not None and not node.outputs[0].is_graph_output():
        new = Nodes(graph, node)
        new.replace(new.constant(found))


def _fold_view(graph: ir.Graph, node: ir.Node) -> None:
    producer = node.inputs[0].producer() if node.inputs[0] is not None else None
    if producer is None or producer.op_type != "DequantizeLinear" or node.outputs[0].is_graph_output():
        return
    q, scale = constant_input(producer, 0), constant_input(producer, 1)
    if q is None or scale is None or scale.ndim > 1:
        return
    axis = attribute(producer, "axis", 1) % max(q.ndim, 1)
    if node.op_type == "Transpose":
        order = list(attribute(node, "perm", range(q.ndim)[::-1]))
        turned = q.transpose(order)
        place = order.index(axis) if scale.size > 1 else None
    else:
        turned = q.reshape(shape_of(node.outputs[0]))
        place = _same_axis(q.shape, turned.shape, axis) if scale.size > 1 else None
    if scale.size > 1 and place is None:
        return  # the scales follow no axis of the view: refused later
    new = Nodes(graph, node)
    inputs = [new.constant(turned), *producer.inputs[1:]]
    new.replace(new.add("DequantizeLinear", inputs, turned.shape, {"axis": place} if scale.size > 1 else {}))


def _same_axis(before: tuple[int, ...], after: tuple[int, ...], axis: int) -> int | None:
    """The axis of a reshaped array that counts the same elements as `axis` did."""
    wanted = math.prod(before[:axis]), before[axis]
    return next((i for i, n in enumerate(after) if (math.prod(after[:i]), n) == wanted), None)
