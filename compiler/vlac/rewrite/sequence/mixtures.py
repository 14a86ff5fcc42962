"""A mixture of which a mask of one keeps one expert becomes that expert: layers whose weights the router chooses.

matches: the sum of mask[e] * expert[e](x) over all experts, written as Adds or as ReduceSum of Mul(Concat, mask), and
Gather of one of a Concat of all; the mask is Equal, OneHot or ScatterElements of one number (`experts.Router`), or a
Where of it. The experts are equal but for the constants of their layers.
rewrite: one of them, whose constants are Gather(constant [experts, ...], number); see `experts.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common as onnx_passes

from vlac.model.reading import attribute, constant, constant_input, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.experts import Numbers, Router, routed_logits, router_of
from vlac.rewrite.sequence.match import is_op, made_by, pairs, reduced_axes
from vlac.rewrite.sequence.views import view_of

__all__ = ["alike", "keep_one_expert", "leaves", "stacked"]

_LAYERS = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class _Mask:
    """1 where the number is that of `experts`, which has the mask's shape, else 0."""

    router: Router
    experts: NDArray[np.int64]


@dataclass(frozen=True)
class _Masks:
    """The same of several routers: of each element which of the `source`'s numbers, and the expert."""

    source: ir.Value
    logits: ir.Value | None
    rows: NDArray[np.int64]
    experts: NDArray[np.int64]


@dataclass
class _Mixture:
    """The results of all experts in order, and what else is added to the one that is kept."""

    router: Router
    results: list[ir.Value]
    others: list[ir.Value] = field(default_factory=list)


def keep_one_expert(model: ir.Model) -> None:
    """Rewrite every such mixture of a float model, in place."""
    numbers, done = Numbers(), False
    for node in reversed(list(model.graph)):
        if node.graph is None or not any(v.consumers() or v.is_graph_output() for v in node.outputs):
            continue
        mixture = _mixture(node)
        if mixture is not None:
            done = _rewrite(model.graph, node, mixture, numbers) or done
    if done:
        model.graph.sort()
        onnx_passes.RemoveUnusedNodesPass()(model)


def _rewrite(graph: ir.Graph, node: ir.Node, mixture: _Mixture, numbers: Numbers) -> bool:
    with Nodes(graph, node) as new:
        number = numbers.made.get(mixture.router)
        merger = _Merger(new, numbers.scalar(new, mixture.router))
        result = merger.merged(mixture.results)
        if result is None:
            if number is None:
                del numbers.made[mixture.router]
            return False
        for other in mixture.others:
            shape = np.broadcast_shapes(shape_of(result), shape_of(other))
            result = new.add("Add", [other, result], shape)
        out = shape_of(node.outputs[0])
        new.replace(result if shape_of(result) == out else new.reshape(result, out))
    return True


# --- what is a mixture ----------------------------------------------------------------------------------


def _mixture(node: ir.Node) -> _Mixture | None:
    if is_op(node, "Add"):
        return _of_adds(node)
    if is_op(node, "ReduceSum"):
        return _of_sum(node)
    return _of_pick(node) if is_op(node, "Gather") else None


def _of_adds(node: ir.Node) -> _Mixture | None:
    readers = node.outputs[0].consumers()
    if len(readers) == 1 and is_op(readers[0], "Add") and not node.outputs[0].is_graph_output():
        return None  # a part of a sum
    terms: dict[int, ir.Value] = {}
    router, others = None, []
    for leaf in leaves(node):
        term = _term(leaf)
        array = constant(leaf)
        if array is not None and not array.any():
            continue
        if term is None or (router is not None and term[0] != router) or term[1] in terms:
            others.append(leaf)
            continue
        router = term[0]
        terms[term[1]] = term[2]
    if router is None or sorted(terms) != list(range(router.experts or 0)):
        return None
    return _Mixture(router, [terms[e] for e in range(len(terms))], others)


def leaves(node: ir.Node) -> Iterator[ir.Value]:
    """What is added, through Adds that nothing else reads."""
    for value in node.inputs:
        assert value is not None
        below = value.producer()
        if below is not None and is_op(below, "Add") and len(value.consumers()) == 1 and not value.is_graph_output():
            yield from leaves(below)
        else:
            yield value


def _term(value: ir.Value) -> tuple[Router, int, ir.Value] | None:
    """(router, expert, its result) of a product with the mask of one expert, or of a Where with 0."""
    node = value.producer()
    if is_op(node, "Where"):
        assert node is not None
        zero = constant_input(node, 2)
        operands = [(node.inputs[0], node.inputs[1])] if zero is not None and not zero.any() else []
    else:
        operands = list(pairs(node)) if is_op(node, "Mul") else []
    for mask, result in operands:
        found = None if mask is None or result is None or constant(result) is not None else _mask(mask)
        if found is not None and result is not None and shape_of(result) == shape_of(value):
            experts = np.unique(found.experts)
            if len(experts) == 1:
                return found.router, int(experts[0]), result
    return None


def _of_sum(node: ir.Node) -> _Mixture | None:
    axes, product = reduced_axes(node), made_by(node.inputs[0], "Mul")
    if axes is None or len(axes) != 1 or product is None:
        return None
    for mask, stack in pairs(product):
        parts, found = stacked(stack, axes[0]), _mask(mask)
        if parts is None or found is None or shape_of(stack) != shape_of(product.outputs[0]):
            continue
        shape = (1,) * (len(shape_of(stack)) - found.experts.ndim) + found.experts.shape
        if found.experts.size == shape[axes[0]] and np.array_equal(found.experts.reshape(-1), np.arange(len(parts))):
            return _Mixture(found.router, parts) if found.router.experts == len(parts) else None
    return None


def _of_pick(node: ir.Node) -> _Mixture | None:
    stack, number = node.inputs[:2]
    router = router_of(number)
    if router is None or stack is None or constant(stack) is not None:
        return None
    parts = stacked(stack, attribute(node, "axis", 0) % len(shape_of(stack)))
    return _Mixture(router, parts) if parts is not None and router.experts in (None, len(parts)) else None


def stacked(value: ir.Value, axis: int) -> list[ir.Value] | None:
    """The parts of size 1 that a value is made of along an axis."""
    node = made_by(value, "Concat")
    if node is None or attribute(node, "axis", 0) % len(shape_of(value)) != axis:
        return None
    parts = [v for v in node.inputs if v is not None and shape_of(v)[axis] == 1]
    return parts if len(parts) == len(node.inputs) else None


# --- masks ------------------------------------------------------------------------------------------------


def _mask(value: ir.Value) -> _Mask | None:
    """The mask of a value, which is one router's."""
    found = _masks(value)
    rows = None if found is None else np.unique(found.rows)
    if found is None or rows is None or len(rows) != 1:
        return None
    return _Mask(Router(found.source, int(rows[0]), found.logits), found.experts)


def _masks(value: ir.Value) -> _Masks | None:
    """The masks of a value, through moves, Casts and a Where of 1 and 0."""
    view = view_of(value)
    root = view.root
    node = root.producer()
    if node is None:
        return None
    same = is_op(node, "Cast") or (is_op(node, "Where") and _are(node, (1, 1), (2, 0)))
    below = node.inputs[0] if same else None
    found = _made(node) if below is None else _masks(below)
    if found is None:
        return None
    rows, experts = (
        np.broadcast_to(a, shape_of(root)).reshape(-1)[view.positions] for a in (found.rows, found.experts)
    )
    return _Masks(found.source, found.logits, rows, experts)


def _made(node: ir.Node) -> _Masks | None:
    """Of what compares numbers with those of experts."""
    shape = shape_of(node.outputs[0])
    if is_op(node, "Equal"):
        for number, others in pairs(node):
            router, array = router_of(number), constant(others)
            if router is not None and array is not None:
                experts = np.broadcast_to(array.astype(np.int64), shape)
                return _Masks(router.source, router.logits, np.full(shape, router.row), experts)
    source, axis = None, len(shape) - 1
    if is_op(node, "OneHot") and _are(node, (2, (0, 1))):
        source, axis = node.inputs[0], attribute(node, "axis", -1) % len(shape)
    elif is_op(node, "ScatterElements") and _are(node, (0, 0), (2, 1)):
        plain = attribute(node, "reduction", "none") == "none"
        source, axis = node.inputs[1] if plain else None, attribute(node, "axis", 0) % len(shape)
    if source is None or axis != len(shape) - 1:
        return None
    view = view_of(source)
    logits = routed_logits(view.root)
    count = math.prod(shape[:-1])
    if logits is None or not view.is_whole or math.prod(view.shape) != count:
        router = router_of(source)
        if router is None or count != 1:
            return None
        return _Masks(router.source, router.logits, np.full(shape, router.row), _along(shape, axis))
    rows = np.broadcast_to(np.arange(count).reshape(*shape[:-1], 1), shape)
    return _Masks(view.root, logits, rows, _along(shape, axis))


def _along(shape: tuple[int, ...], axis: int) -> NDArray[np.int64]:
    """Numbers that count along an axis."""
    return np.broadcast_to(np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))]), shape)


def _are(node: ir.Node, *wanted: tuple[int, Any]) -> bool:
    """Whether constant operands have these values."""
    found = [(constant_input(node, index), values) for index, values in wanted]
    return all(array is not None and bool((array == np.asarray(values)).all()) for array, values in found)


# --- merging ------------------------------------------------------------------------------------------------


class _Merger:
    """Makes one expert of all, whose constants the number chooses."""

    def __init__(self, new: Nodes, number: ir.Value) -> None:
        self._new, self._number = new, number
        self._known: dict[tuple[ir.Value, ...], ir.Value | None] = {}

    def merged(self, values: Sequence[ir.Value]) -> ir.Value | None:
        """What stands for the same value of each expert; None where they are computed in different ways."""
        if all(v is values[0] for v in values):
            return values[0]
        key = tuple(values)
        if key not in self._known:
            self._known[key] = self._computed(values)
        return self._known[key]

    def _computed(self, values: Sequence[ir.Value]) -> ir.Value | None:
        nodes = [v.producer() for v in values]
        first = nodes[0]
        if first is None or any(n is None or not alike(n, first) for n in nodes):
            return None
        inputs: list[ir.Value | None] = []
        for index, column in enumerate(zip(*(n.inputs for n in nodes if n is not None), strict=True)):
            if column[0] is None:
                inputs.append(None)
                continue
            present = [v for v in column if v is not None]
            found = self._constants(first, index, present) if constant(column[0]) is not None else self.merged(present)
            if found is None:
                return None
            inputs.append(found)
        attributes = {name: a.value for name, a in first.attributes.items()}
        shape = shape_of(values[0])
        return self._new.add(first.op_type, inputs, shape, attributes, values[0].dtype)

    def _constants(self, node: ir.Node, index: int, values: Sequence[ir.Value]) -> ir.Value | None:
        """One of the constants where they are equal; of a layer's, or of what is added, the one that is chosen."""
        arrays = [constant(v) for v in values]
        first = arrays[0]
        if first is None or any(a is None or a.shape != first.shape or a.dtype != first.dtype for a in arrays):
            return None
        if all(np.array_equal(a, first) for a in arrays if a is not None):
            return values[0]
        if not (is_op(node, "Add") or (is_op(node, *_LAYERS) and index)):
            return None
        table = self._new.constant(np.stack([a for a in arrays if a is not None]))
        return self._new.add("Gather", [table, self._number], first.shape, {"axis": 0}, table.dtype)


def alike(node: ir.Node, other: ir.Node) -> bool:
    """Whether two nodes are of one operator, with equal attributes and operands of the same kinds."""
    if (node.op_type, node.domain, len(node.inputs)) != (other.op_type, other.domain, len(other.inputs)):
        return False
    mine, others = ({k: a.value for k, a in n.attributes.items()} for n in (node, other))
    return mine == others and len(node.outputs) == 1 and shape_of(node.outputs[0]) == shape_of(other.outputs[0])
