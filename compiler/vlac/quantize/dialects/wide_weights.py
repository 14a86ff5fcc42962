"""Weights of 9 bits: asymmetric uint8 weights less their zero point can reach -255..255, the machine takes int8.

W = A + R with A clamped to int8 and R the rest, and the input given twice: W * x = [A, R] * [x, x], exactly. R is
zero almost everywhere and blocks of zero weights are not computed, so it costs little beside the copy of the input.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.numerics import INT8_MAX, INT8_MIN
from vlac.ops.spec import attribute, constant_input

__all__ = ["split_wide_weights"]

_LAYERS = ("Conv", "Gemm", "MatMul")
_VIEWS = ("Flatten", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Dropout")
I64 = NDArray[np.int64]


def split_wide_weights(model: ir.Model) -> None:
    """Replace weights that leave int8 around their zero point, and double the inputs that they read."""
    for node in list(model.graph):
        if node.op_type in _LAYERS and not attribute(node, "transA", 0):
            weight, source = _dequantizer(node.inputs[1]), _dequantizer(node.inputs[0])
            if weight is None or source is None:
                continue
            centred = _centred(weight)
            if centred is not None and (centred.min() < INT8_MIN or centred.max() > INT8_MAX):
                _split(model.graph, node, weight, source, centred)


def _dequantizer(value: ir.Value | None) -> ir.Node | None:
    """The DequantizeLinear that a value comes from, also through operators that only look at it in another shape."""
    node = value.producer() if value is not None else None
    while node is not None and node.op_type in _VIEWS and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    return node if node is not None and node.op_type == "DequantizeLinear" else None


def _centred(dequantizer: ir.Node) -> I64 | None:
    """uint8 weights less their zero points, int64; None where they are anything else."""
    q, scale, zero = (constant_input(dequantizer, i) for i in range(3))
    if q is None or scale is None or q.dtype != np.uint8 or q.ndim < 2:
        return None
    if zero is None or zero.size == 1:
        return q.astype(np.int64) - (0 if zero is None else int(zero.reshape(-1)[0]))
    axis = attribute(dequantizer, "axis", 1) % q.ndim
    return q.astype(np.int64) - zero.astype(np.int64).reshape([-1 if i == axis else 1 for i in range(q.ndim)])


def _split(graph: ir.Graph, node: ir.Node, weight: ir.Node, source: ir.Node, centred: I64) -> None:
    if node.op_type == "Conv":
        centred, axis = _dense(centred, attribute(node, "group", 1)), 1
        node.attributes.pop("group", None)
    else:
        axis = 1 if attribute(node, "transB", 0) else 0
    inside = np.clip(centred, INT8_MIN, INT8_MAX)
    both = np.concatenate([inside, centred - inside], axis=axis).astype(np.int8)
    name = node.name or node.outputs[0].name or node.op_type
    graph.initializers[f"{name}.int8"] = integers = ir.Value(
        name=f"{name}.int8", const_value=ir.tensor(both, name=f"{name}.int8")
    )
    integers.shape, integers.dtype = ir.Shape(both.shape), ir.DataType.INT8
    attributes = {"axis": attribute(weight, "axis", 1)} if _per_axis(weight) else {}
    narrow = ir.node("DequantizeLinear", [integers, weight.inputs[1]], attributes, name=f"{name}.weight")
    x = node.inputs[0]
    assert x is not None and x.shape is not None
    channel = 1 if len(x.shape) == 4 else len(x.shape) - 1
    doubled = ir.Shape([2 * int(d) if i == channel else int(d) for i, d in enumerate(x.shape)])
    twice = ir.node("Concat", [x, x], {"axis": channel}, name=f"{name}.twice")
    quantize = ir.node("QuantizeLinear", [twice.outputs[0], *source.inputs[1:]], name=f"{name}.twice_quantized")
    back = ir.node("DequantizeLinear", [quantize.outputs[0], *source.inputs[1:]], name=f"{name}.twice_dequantized")
    kinds = (ir.DataType.FLOAT, _integers_of(source), ir.DataType.FLOAT)
    for made, kind in zip((twice, quantize, back), kinds, strict=True):
        made.outputs[0].name, made.outputs[0].shape, made.outputs[0].dtype = made.name, doubled, kind
    narrow.outputs[0].name, narrow.outputs[0].shape = narrow.name, integers.shape
    narrow.outputs[0].dtype = ir.DataType.FLOAT
    graph.insert_before(node, [narrow, twice, quantize, back])
    node.replace_input_with(0, back.outputs[0])
    node.replace_input_with(1, narrow.outputs[0])


def _dense(weight: I64, group: int) -> I64:
    """[O, I / group, kh, kw] as [O, I, kh, kw], zero outside the groups."""
    if group == 1:
        return weight
    out, per_group = weight.shape[:2]
    dense = np.zeros((out, group * per_group, *weight.shape[2:]), np.int64)
    for g, rows in enumerate(np.split(np.arange(out), group)):
        dense[rows, g * per_group : (g + 1) * per_group] = weight[rows]
    return dense


def _per_axis(dequantizer: ir.Node) -> bool:
    scale: NDArray[Any] | None = constant_input(dequantizer, 1)
    return scale is not None and scale.size > 1


def _integers_of(dequantizer: ir.Node) -> ir.DataType | None:
    value = dequantizer.inputs[0]
    return value.dtype if value is not None else None
