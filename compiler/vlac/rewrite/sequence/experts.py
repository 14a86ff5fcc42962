"""Weights that a router chooses, `w[router(x).argmax()]`, become one form, whatever moves are between.

matches: MatMul, Gemm and Conv (2-D) whose weight is a view of a Gather of a constant [experts, ...] by one number, the
Add of a bias chosen by the same number behind a MatMul; the number is an ArgMax, a TopK of one, or an integer input.
rewrite: Gemm or Conv of Gather(constant [experts, ...], number), of a weight in its plain order and of a bias [experts,
N]; the number is a scalar, that of a router ArgMax(Reshape(logits, [experts])), or of a row of several routers' logits.

A mixture that sums all experts by a mask of one is written so by `mixtures.py`. Not here: mixtures whose choice is
made for each token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.reading import attribute, constant, constant_input, is_constant, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.match import is_op, made_by, pairs
from vlac.rewrite.sequence.views import view_of

__all__ = ["Numbers", "Router", "choose_weights", "routed_logits", "router_of"]

_INTEGERS = (ir.DataType.INT32, ir.DataType.INT64)
_RESHAPES = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")


@dataclass(frozen=True)
class Router:
    """What makes one expert's number.

    Attributes:
        source: the numbers: an ArgMax's or TopK's result, or a model's input.
        row: which of them, in their order.
        logits: what is compared, [..., experts] of as many rows as there are numbers; None of an input.
    """

    source: ir.Value
    row: int = 0
    logits: ir.Value | None = None

    @property
    def experts(self) -> int | None:
        """How many there are, where a router says."""
        return None if self.logits is None else shape_of(self.logits)[-1]


@dataclass
class Numbers:
    """The scalars of the routers of a graph, each made once."""

    made: dict[Router, ir.Value] = field(default_factory=dict)

    def scalar(self, new: Nodes, router: Router) -> ir.Value:
        """The number as a scalar; its nodes are of the first that asks, in the order of the graph."""
        if router not in self.made:
            value = router.source if router.logits is None else router.logits
            rows = math.prod(shape_of(router.source))
            if rows > 1:
                each = (rows,) if router.logits is None else (rows, shape_of(value)[-1])
                value = new.add("Reshape", [value, _sizes(new, *each)], each, dtype=value.dtype)
                row = new.constant(np.array(router.row, np.int64))
                value = new.add("Gather", [value, row], each[1:], {"axis": 0}, value.dtype)
            target = () if router.logits is None else shape_of(value)[-1:]
            if shape_of(value) != target:
                value = new.add("Reshape", [value, _sizes(new, *target)], target, dtype=value.dtype)
            if router.logits is not None:
                value = new.add("ArgMax", [value], (), {"axis": 0, "keepdims": 0}, ir.DataType.INT64)
            self.made[router] = value
        return self.made[router]


def _sizes(new: Nodes, *sizes: int) -> ir.Value:
    return new.constant(np.array(sizes, np.int64))


def router_of(value: ir.Value | None) -> Router | None:
    """The router of a number of one element, through what only moves it."""
    if value is None or math.prod(shape_of(value)) != 1 or value.dtype not in _INTEGERS:
        return None
    row = 0
    while not is_constant(value):
        view = view_of(value)
        row = int(view.positions.reshape(-1)[row])
        value, node = view.root, view.root.producer()
        if value.is_graph_input():
            return Router(value, row)
        if node is not None and is_op(node, "Cast") and node.inputs[0] is not None:
            value = node.inputs[0]
            continue
        logits = routed_logits(value)
        return None if logits is None else Router(value, row, logits)
    return None


def routed_logits(value: ir.Value) -> ir.Value | None:
    """The logits [..., experts] of an ArgMax, or of the indices of a TopK of one; those behind a Softmax have the same
    order.
    """
    node = value.producer()
    logits = None if node is None else node.inputs[0]
    if node is None or logits is None or not is_op(node, "ArgMax", "TopK"):
        return None
    rank = len(shape_of(logits))
    axis = attribute(node, "axis", 0 if node.op_type == "ArgMax" else -1) % rank
    largest = attribute(node, "largest", 1) and not attribute(node, "select_last_index", 0)
    if not largest or axis != rank - 1 or (node.op_type == "TopK" and value is not node.outputs[1]):
        return None
    if math.prod(shape_of(value)) != math.prod(shape_of(logits)[:-1]):
        return None
    share = made_by(logits, "Softmax", "LogSoftmax")
    if share is not None and attribute(share, "axis", -1) % rank == axis:
        return share.inputs[0]
    return logits


@dataclass
class _Chosen:
    """A weight or bias of each expert, [experts, ...]."""

    arrays: NDArray[Any]
    router: Router


def _chosen(value: ir.Value | None) -> _Chosen | None:
    if value is None or is_constant(value):
        return None
    view = view_of(value)
    node = made_by(view.root, "Gather")
    table = None if node is None else constant_input(node, 0)
    if node is None or table is None or attribute(node, "axis", 0) or table.ndim < 2 or table.dtype.kind != "f":
        return None
    router = router_of(node.inputs[1])
    if router is None:
        return None
    return _Chosen(np.ascontiguousarray(table.reshape(len(table), -1)[:, view.positions]), router)


def choose_weights(model: ir.Model) -> None:
    """Rewrite every such layer of a float model, in place."""
    numbers, graph = Numbers(), model.graph
    for node in list(graph):
        if is_op(node, "MatMul", "Gemm", "Conv"):
            weight = _chosen(node.inputs[1])
            if weight is not None:
                (_product if node.op_type == "MatMul" else _layer)(graph, node, weight, numbers)


def _layer(graph: ir.Graph, node: ir.Node, weight: _Chosen, numbers: Numbers) -> None:
    """A Gemm or Conv in the place of one."""
    c = node.inputs[2] if len(node.inputs) > 2 else None
    row = None if c is None else _rows(c, weight)
    if weight.arrays.ndim != (3 if node.op_type == "Gemm" else 5) or (c is not None and row is None):
        return
    attributes = {name: a.value for name, a in node.attributes.items()}
    scale = attributes.pop("beta", 1.0)
    with Nodes(graph, node) as new:
        number = numbers.scalar(new, weight.router)
        inputs = [node.inputs[0], _gather(new, weight.arrays, number)]
        if row is not None:
            inputs.append(_gather(new, (row * scale).astype(row.dtype), number))
        new.replace(new.add(node.op_type, inputs, shape_of(node.outputs[0]), attributes))


def _rows(value: ir.Value, weight: _Chosen) -> NDArray[Any] | None:
    """A bias [experts, N], chosen by the number that chooses the weight, or the same for all."""
    chosen, array, count = _chosen(value), constant(value), len(weight.arrays)
    if array is not None:
        return np.broadcast_to(array.reshape(1, -1), (count, array.size)).copy() if _is_row(array.shape) else None
    if chosen is None or chosen.router != weight.router or len(chosen.arrays) != count:
        return None
    return chosen.arrays.reshape(count, -1) if _is_row(chosen.arrays.shape[1:]) else None


def _is_row(shape: tuple[int, ...]) -> bool:
    return math.prod(shape[:-1]) == 1


def _gather(new: Nodes, arrays: NDArray[Any], number: ir.Value) -> ir.Value:
    table = new.constant(np.ascontiguousarray(arrays))
    return new.add("Gather", [table, number], arrays.shape[1:], {"axis": 0}, table.dtype)


def _product(graph: ir.Graph, node: ir.Node, weight: _Chosen, numbers: Numbers) -> None:
    """A Gemm in the place of a MatMul and the Add of a bias behind it."""
    x, shape = node.inputs[0], weight.arrays.shape[1:]
    if x is None or len(shape) < 2 or math.prod(shape[:-2]) != 1 or len(shape_of(x)) < len(shape):
        return
    last, bias = _biased(node, weight)
    k, n = shape[-2:]
    rows = math.prod(shape_of(x)[:-1])
    with Nodes(graph, last) as new:
        number = numbers.scalar(new, weight.router)
        flat = x if len(shape_of(x)) == 2 else new.reshape(x, (rows, k))
        inputs = [flat, _gather(new, weight.arrays.reshape(-1, k, n), number)]
        if bias is not None:
            inputs.append(_gather(new, bias, number))
        gemm = new.add("Gemm", inputs, (rows, n))
        out = shape_of(last.outputs[0])
        new.replace(gemm if out == (rows, n) else new.reshape(gemm, out))


def _biased(node: ir.Node, weight: _Chosen) -> tuple[ir.Node, NDArray[Any] | None]:
    """The Add of a row that the same number chooses, behind a MatMul and Reshapes; or the MatMul."""
    last, n = node, weight.arrays.shape[-1]
    while True:
        readers = last.outputs[0].consumers()
        if len(readers) != 1 or last.outputs[0].is_graph_output():
            return node, None
        following = readers[0]
        if is_op(following, *_RESHAPES) and shape_of(following.outputs[0])[-1:] == (n,):
            last = following
            continue
        for product, row in pairs(following) if is_op(following, "Add") else ():
            chosen = _chosen(row)
            found = _rows(row, weight) if product is last.outputs[0] and chosen is not None else None
            if found is not None and found.shape[1] == n:
                return following, found
        return node, None
