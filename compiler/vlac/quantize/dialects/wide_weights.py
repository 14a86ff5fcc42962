"""Weights of 9 bits: asymmetric 8-bit weights less their zero point reach -255..255, the machine takes int8.

W = A + B + ... with every part in int8, and the input given once for each: W * x = [A, B, ...] * [x, x, ...], exactly.
255 takes three parts (127 + 127 + 1). All but the first are zero almost everywhere and blocks of zero weights are not
computed, so they cost little beside the copies of the input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.integer import INT8
from vlac.model.reading import attribute, constant_input, shape_of
from vlac.ops import BY_NAME
from vlac.rewrite.nodes import Nodes

__all__ = ["int8_parts", "split_wide_weights"]

I64 = NDArray[np.int64]


@dataclass(frozen=True)
class _Axes:
    """Where a layer's channels lie: those it sums over (`input`, `weight`), and those with a scale each (`scale`)."""

    input: int
    weight: int
    scale: int


def split_wide_weights(model: ir.Model) -> None:
    """Replace weights that leave int8 around their zero point, and repeat the inputs that they read."""
    repeated: dict[tuple[ir.Value, int, int], ir.Value] = {}
    for node in list(model.graph):
        axes = _axes(node)
        if axes is None:
            continue
        weight, source = _dequantizer(node.inputs[1]), _source(node.inputs[0])
        if weight is None or source is None:
            continue
        centred = _centred(weight, axes)
        if centred is not None and (centred.min() < INT8.lo or centred.max() > INT8.hi):
            _split(model.graph, node, axes, weight, source, centred, repeated)


def int8_parts(weight: I64) -> list[NDArray[np.int8]]:
    """The fewest int8 arrays whose sum is `weight`."""
    parts, rest = list[NDArray[np.int8]](), weight
    while rest.any() or not parts:
        part = np.clip(rest, INT8.lo, INT8.hi)
        parts.append(INT8.cast(part))
        rest = rest - part
    return parts


def _axes(node: ir.Node) -> _Axes | None:
    if node.op_type == "Conv":
        return _Axes(1, 1, 0)
    if node.op_type == "ConvTranspose":
        return _Axes(1, 0, 1)
    if node.op_type == "Gemm":
        turned = int(attribute(node, "transB", 0))
        return _Axes(0 if attribute(node, "transA", 0) else 1, turned, 1 - turned)
    if node.op_type == "MatMul":
        given, weight = (len(shape_of(v)) for v in node.inputs)
        return _Axes(given - 1, 0, weight - 1) if given and weight in (1, 2) else None
    return None


def _dequantizer(value: ir.Value | None) -> ir.Node | None:
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == "DequantizeLinear" else None


def _source(value: ir.Value | None) -> ir.Node | None:
    """The DequantizeLinear that a value comes from, also through operators that only move its integers."""
    node = value.producer() if value is not None else None
    while node is not None and node.inputs[0] is not None:
        if node.op_type not in BY_NAME or not BY_NAME[node.op_type].keeps_scale:
            break
        node = node.inputs[0].producer()
    return node if node is not None and node.op_type == "DequantizeLinear" else None


def _centred(dequantizer: ir.Node, axes: _Axes) -> I64 | None:
    """8-bit weights less their zero points; None where they are anything else, or scaled along another axis."""
    q, scale, zero = (constant_input(dequantizer, i) for i in range(3))
    if q is None or scale is None or q.dtype not in (np.dtype(np.int8), np.dtype(np.uint8)) or scale.ndim > 1:
        return None
    axis = attribute(dequantizer, "axis", 1) % q.ndim
    if scale.size > 1 and (axis != axes.scale or q.ndim < 2):
        return None  # refused later, where the scales are read
    if zero is None or zero.size == 1:
        return q.astype(np.int64) - (0 if zero is None else int(zero.reshape(-1)[0]))
    return q.astype(np.int64) - zero.astype(np.int64).reshape([-1 if i == axis else 1 for i in range(q.ndim)])


def _split(
    graph: ir.Graph,
    node: ir.Node,
    axes: _Axes,
    weight: ir.Node,
    source: ir.Node,
    centred: I64,
    repeated: dict[tuple[ir.Value, int, int], ir.Value],
) -> None:
    new = Nodes(graph, node)
    scale = constant_input(weight, 1)
    assert scale is not None and node.inputs[0] is not None
    group = int(attribute(node, "group", 1))
    if group > 1:
        centred, scale = _dense(node, centred, scale, group)
        node.attributes["group"] = ir.AttrInt64("group", 1)
    parts = int8_parts(centred)
    integers = new.constant(np.concatenate(parts, axis=axes.weight))
    attributes = {"axis": axes.scale} if scale.size > 1 else {}
    narrow = new.add("DequantizeLinear", [integers, new.constant(scale)], shape_of(integers), attributes)
    key = (node.inputs[0], len(parts), axes.input)
    if key not in repeated:
        repeated[key] = _repeat(new, *key, source)
    new.insert()
    node.replace_input_with(0, repeated[key])
    node.replace_input_with(1, narrow)


def _repeat(new: Nodes, x: ir.Value, times: int, axis: int, source: ir.Node) -> ir.Value:
    """`x` as often along an axis, with the quantization of the DequantizeLinear that it comes from."""
    shape = [n * (times if i == axis else 1) for i, n in enumerate(shape_of(x))]
    integers, *parameters = source.inputs
    copies = new.add("Concat", [x] * times, shape, {"axis": axis})
    kind = None if integers is None else integers.dtype
    return new.add(
        "DequantizeLinear", [new.add("QuantizeLinear", [copies, *parameters], shape, dtype=kind), *parameters], shape
    )


def _dense(node: ir.Node, weight: I64, scale: NDArray[Any], group: int) -> tuple[I64, NDArray[Any]]:
    """Grouped weights as those of one group, zero between the groups, and their scales."""
    turned = node.op_type == "ConvTranspose"  # [I, O / group, kh, kw], else [O, I / group, kh, kw]
    first, second = weight.shape[:2]
    dense = np.zeros((first, group * second, *weight.shape[2:]), np.int64)
    for g, rows in enumerate(np.split(np.arange(first), group)):
        dense[rows, g * second : (g + 1) * second] = weight[rows]
    return dense, np.tile(scale, group) if turned and scale.size > 1 else scale
