"""A product of which several parts are read, of very unequal sizes, becomes a product for each: a scale of its own.

matches: MatMul(x, w) or Gemm(x, w, b?) with constant w, a constant row added behind it or not, a Reshape that keeps the
channels or makes [parts, channels] of them or not, and nothing but Split and Slice along the channels or parts, as a
packed projection of queries, keys and values has; rewrite: a product with those columns for each part.

One scale for all would leave 2 integers to a part that is 100 times smaller than another. Sizes are those of the
weights: a column's norm, and its bias. Products of like parts stay as they are: that is one pass over the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.reading import attribute, constant, shape_of
from vlac.rewrite.nodes import Nodes

__all__ = ["split_products"]

_UNEQUAL = 4.0  # sizes of two parts; 2 bits of 8
_DOMAINS = ("", "ai.onnx")


@dataclass
class _Packed:
    """A product and what stands between it and the parts that are read: `parts` by their first and last column."""

    product: ir.Node
    row: ir.Value | None = None
    between: list[ir.Node] = field(default_factory=list)
    readers: list[ir.Node] = field(default_factory=list)
    parts: dict[tuple[int, int], list[ir.Value]] = field(default_factory=dict)


def split_products(model: ir.Model) -> None:
    """Rewrite every such product of a float model, in place."""
    for node in list(model.graph):
        if node.op_type in ("MatMul", "Gemm") and node.domain in _DOMAINS and node.graph is model.graph:
            found = _packed(node)
            if found is not None and _is_unequal(found):
                _rewrite(model.graph, found)


def _packed(node: ir.Node) -> _Packed | None:
    weight = constant(node.inputs[1])
    if weight is None or weight.ndim != 2 or constant(node.inputs[0]) is not None:
        return None
    if len(node.inputs) > 2 and node.inputs[2] is not None and constant(node.inputs[2]) is None:
        return None
    found, value = _Packed(node), node.outputs[0]
    columns = shape_of(value)[-1]
    added = _lone_reader(value, "Add")
    if added is not None:
        rows = [v for v in added.inputs if v is not value and v is not None and constant(v) is not None]
        if len(rows) != 1 or not _is_row(rows[0], columns):
            return None
        found.row, value = rows[0], added.outputs[0]
        found.between.append(added)
    axis, step = len(shape_of(value)) - 1, 1
    reshaped = _lone_reader(value, "Reshape")
    if reshaped is not None:
        value = reshaped.outputs[0]
        found.between.append(reshaped)
        shape = shape_of(value)
        if len(shape) > 1 and shape[-1] != columns and shape[-2] * shape[-1] == columns:
            axis, step = len(shape) - 2, shape[-1]
        elif shape[-1:] == (columns,):
            axis = len(shape) - 1
        else:
            return None
    return found if _enter_parts(found, value, axis, step) else None


def _enter_parts(found: _Packed, value: ir.Value, axis: int, step: int) -> bool:
    """Enter what is read of a value along an axis, of `step` columns each; whether that is parts and nothing else."""
    if value.is_graph_output():
        return False
    for node, index in value.uses():
        parts = list(_read(node, axis, shape_of(value)[axis])) if index == 0 else []
        if not parts:
            return False
        found.readers.append(node)
        for first, last, out in parts:
            found.parts.setdefault((first * step, last * step), []).append(out)
    ends = sorted(found.parts)
    apart = all(a[1] <= b[0] for a, b in pairwise(ends))
    return len(ends) > 1 and apart and all(a < b for a, b in ends)


def _read(node: ir.Node, axis: int, size: int) -> Iterator[tuple[int, int, ir.Value]]:
    """The parts [first, last) along an axis that a Split or Slice reads, with its outputs; none of another node."""
    rank = len(shape_of(node.inputs[0])) if node.inputs else 0
    if node.op_type == "Split" and node.domain in _DOMAINS and attribute(node, "axis", 0) % rank == axis:
        first = 0
        for out in node.outputs:
            last = first + shape_of(out)[axis]
            yield first, last, out
            first = last
    if node.op_type == "Slice" and node.domain in _DOMAINS:
        given = [constant(v) for v in node.inputs[1:]]
        if len(given) < 3 or any(g is None or g.size != 1 for g in given):
            return
        start, end, along, step = (int(g.reshape(-1)[0]) for g in (*given, np.ones(1))[:4] if g is not None)
        if along % rank == axis and step == 1:
            first, last, _ = slice(start, end).indices(size)
            yield first, last, node.outputs[0]


def _lone_reader(value: ir.Value, op: str) -> ir.Node | None:
    """The node of a kind that alone reads a value, as its data."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output() or uses[0][0].op_type != op or uses[0][0].domain not in _DOMAINS:
        return None
    return uses[0][0] if op == "Add" or uses[0][1] == 0 else None


def _is_row(value: ir.Value, columns: int) -> bool:
    array = constant(value)
    return array is not None and array.size == columns and array.shape[-1:] == (columns,)


def _is_unequal(found: _Packed) -> bool:
    node = found.product
    weight = constant(node.inputs[1])
    assert weight is not None
    rows = weight if attribute(node, "transB", 0) else weight.T
    sizes = np.linalg.norm(rows.astype(np.float64), axis=1) * abs(attribute(node, "alpha", 1.0))
    given = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if given is not None:
        sizes = sizes + np.abs(np.broadcast_to(given.reshape(-1), sizes.shape)) * abs(attribute(node, "beta", 1.0))
    if found.row is not None:
        sizes = sizes + np.abs(_array(found.row).reshape(-1))
    largest = [float(sizes[first:last].max()) for first, last in found.parts]
    some = [size for size in largest if size > 0]
    return bool(some) and max(some) >= _UNEQUAL * min(some)


def _rewrite(graph: ir.Graph, found: _Packed) -> None:
    node = found.product
    new = Nodes(graph, node)
    results = {ends: _part(new, found, *ends, outs[0]) for ends, outs in found.parts.items()}
    new.insert()
    for ends, outs in found.parts.items():
        for out in outs:
            out.replace_all_uses_with(results[ends], replace_graph_outputs=True)
    for old in (*dict.fromkeys(found.readers), *reversed(found.between), node):
        graph.remove(old, safe=True)


def _part(new: Nodes, found: _Packed, first: int, last: int, out: ir.Value) -> ir.Value:
    """The columns [first, last) of the product, in the shape in which they are read."""
    node, across = found.product, (..., slice(first, last))
    turned = bool(attribute(node, "transB", 0))
    weight = _array(node.inputs[1])
    inputs: list[ir.Value | None] = [
        node.inputs[0],
        new.constant(weight[first:last] if turned else weight[:, first:last]),
    ]
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        bias = _array(node.inputs[2])
        inputs.append(new.constant(bias if bias.shape[-1:] in ((), (1,)) else bias[across]))
    shape = (*shape_of(node.outputs[0])[:-1], last - first)
    value = new.add(node.op_type, inputs, shape, {k: a.value for k, a in node.attributes.items()})
    if found.row is not None:
        value = new.add("Add", [value, new.constant(_array(found.row)[across])], shape)
    return value if shape == shape_of(out) else new.reshape(value, shape_of(out))


def _array(value: ir.Value | None) -> NDArray[np.generic]:
    array = constant(value)
    assert array is not None
    return array
