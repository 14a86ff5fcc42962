"""A mixture whose gates differ from token to token becomes one wide network: all experts side by side.

matches: the sum over all experts of gate[..., e] * expert[e](x), as Adds or as ReduceSum of Mul(Concat, gates), or of
stacked weights (`stacked_experts.py`); the gates are those of `gates.py`, the experts layers and functions alike, whose
last is a layer.
rewrite: with the channels of all experts' hidden values side by side,

    MatMul(hidden * MatMul(gates, 0/1), all last weights) + MatMul(gates, all last biases)

so that the sum over the experts is the product's own, exact in the accumulator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common as onnx_passes

from vlac.model.reading import attribute, constant, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.gates import GateMaker, Shares, shares_of
from vlac.rewrite.sequence.match import is_op, made_by, pairs, reduced_axes
from vlac.rewrite.sequence.mixtures import alike, leaves, stacked
from vlac.rewrite.sequence.stacked_experts import ELEMENTWISE, Stacked, stacked_mixture

__all__ = ["widen_mixtures"]

F32 = NDArray[np.float32]


@dataclass
class _Mixture:
    """The results of the experts in order, their gates, and what else is added."""

    shares: Shares
    results: list[ir.Value]
    others: list[ir.Value]


@dataclass
class _Last:
    """The last layer of an expert: hidden [..., F] times weight [F, N] and bias [N]."""

    hidden: ir.Value
    weight: F32
    bias: F32 | None


def widen_mixtures(model: ir.Model) -> None:
    """Rewrite every such mixture of a float model, in place."""
    maker, done = GateMaker(), False
    for node in reversed(list(model.graph)):
        if node.graph is None or not any(v.consumers() or v.is_graph_output() for v in node.outputs):
            continue
        mixture: _Mixture | Stacked | None = None
        if is_op(node, "Add"):
            mixture = _of_adds(node)
        elif is_op(node, "ReduceSum"):
            mixture = _of_sum(node) or stacked_mixture(node)
        if mixture is not None:
            done = _rewrite(model.graph, node, mixture, maker) or done
    if done:
        model.graph.sort()
        onnx_passes.RemoveUnusedNodesPass()(model)


def _rewrite(graph: ir.Graph, node: ir.Node, mixture: _Mixture | Stacked, maker: GateMaker) -> bool:
    with Nodes(graph, node) as new:
        if isinstance(mixture, Stacked):
            hidden, weights, biases, others = mixture.hidden(new), mixture.weights, mixture.biases, []
        else:
            found = [last for last in map(_last, mixture.results) if last is not None]
            if len(found) != len(mixture.results) or len({last.weight.shape for last in found}) != 1:
                return False
            hidden, others = _Wide(new).value([last.hidden for last in found]), mixture.others
            weights = np.stack([last.weight for last in found])
            n = weights.shape[2]
            biases = np.stack([np.zeros(n, np.float32) if last.bias is None else last.bias for last in found])
        if hidden is None:
            return False
        maker.made.pop(mixture.shares, None)  # made behind this node: nodes are taken from the last to the first
        result = _mixed(new, hidden, maker.gates(new, mixture.shares), weights, biases)
        for other in others:
            shape = np.broadcast_shapes(shape_of(result), shape_of(other))
            result = new.add("Add", [other, result], shape)
        out = shape_of(node.outputs[0])
        new.replace(result if shape_of(result) == out else new.reshape(result, out))
    return True


def _mixed(new: Nodes, hidden: ir.Value, gates: ir.Value, weights: F32, biases: F32) -> ir.Value:
    """Hidden values [tokens ..., E * F] times gates [tokens ..., E] and weights [E, F, N], biases [E, N]."""
    tokens, (count, f, n) = shape_of(hidden)[:-1], weights.shape
    if shape_of(gates)[:-1] != tokens:
        gates = new.reshape(gates, (*tokens, count))
    spread = new.constant(np.repeat(np.eye(count, dtype=np.float32), f, axis=1))
    wide = new.add("MatMul", [gates, spread], (*tokens, count * f))
    scaled = new.add("Mul", [hidden, wide], (*tokens, count * f))
    result = new.add("MatMul", [scaled, new.constant(weights.reshape(count * f, n))], (*tokens, n))
    if biases.any():
        given = new.add("MatMul", [gates, new.constant(biases)], (*tokens, n))
        result = new.add("Add", [result, given], (*tokens, n))
    return result


# --- what is a mixture ----------------------------------------------------------------------------------


def _of_adds(node: ir.Node) -> _Mixture | None:
    readers = node.outputs[0].consumers()
    if len(readers) == 1 and is_op(readers[0], "Add") and not node.outputs[0].is_graph_output():
        return None  # a part of a sum
    shares, terms, others = None, dict[int, ir.Value](), list[ir.Value]()
    for leaf in leaves(node):
        array = constant(leaf)
        if array is not None and not array.any():
            continue
        term = _term(leaf)
        if term is None or term[1] in terms or shares not in (None, term[0]):
            others.append(leaf)
            continue
        shares = term[0]
        terms[term[1]] = term[2]
    if shares is None or sorted(terms) != list(range(shape_of(shares.logits)[-1])):
        return None
    return _Mixture(shares, [terms[e] for e in range(len(terms))], others)


def _term(value: ir.Value) -> tuple[Shares, int, ir.Value] | None:
    """(shares, expert, its result) of a product of a gate and a result."""
    for gate, result in pairs(made_by(value, "Mul")):
        if constant(gate) is None and constant(result) is None and shape_of(result) == shape_of(value):
            found = shares_of(gate) if shape_of(gate)[-1:] == (1,) else None
            if found is not None and len(found[1]) == 1:
                return found[0], int(found[1][0]), result
    return None


def _of_sum(node: ir.Node) -> _Mixture | None:
    axes, product = reduced_axes(node), made_by(node.inputs[0], "Mul")
    if axes is None or len(axes) != 1 or product is None:
        return None
    for gates, stack in pairs(product):
        parts = stacked(stack, axes[0])
        found = None if parts is None or constant(gates) is not None else shares_of(gates)
        if parts is None or found is None or shape_of(stack) != shape_of(product.outputs[0]):
            continue
        behind = len(shape_of(stack)) - 2  # the tokens, the experts, the channels
        if axes[0] == behind and np.array_equal(found[1], np.arange(len(parts))):
            return _Mixture(found[0], parts, [])
    return None


def _last(value: ir.Value) -> _Last | None:
    """The last layer of an expert, behind Reshapes of one token axis."""
    node = value.producer()
    while node is not None and is_op(node, "Reshape", "Unsqueeze", "Squeeze", "Identity"):
        source = node.inputs[0]
        if source is None or shape_of(source)[-1:] != shape_of(value)[-1:]:
            return None
        node = source.producer()
    if node is not None and is_op(node, "Gemm") and _is_plain(node):
        weight = constant(node.inputs[1])
        bias = constant(node.inputs[2]) if len(node.inputs) > 2 else None
        if weight is None or node.inputs[0] is None or (len(node.inputs) > 2 and (bias is None or bias.ndim != 1)):
            return None
        return _Last(node.inputs[0], weight.T if attribute(node, "transB", 0) else weight, bias)
    row = None
    for product, other in pairs(node) if node is not None and is_op(node, "Add") else ():
        array = constant(other)
        if array is not None and array.ndim == 1 and made_by(product, "MatMul") is not None:
            node, row = product.producer(), array
            break
    if node is None or not is_op(node, "MatMul"):
        return None
    weight = constant(node.inputs[1])
    if weight is None or weight.ndim != 2 or node.inputs[0] is None:
        return None
    return _Last(node.inputs[0], weight, row)


def _is_plain(node: ir.Node) -> bool:
    return attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1.0 and not attribute(node, "transA", 0)


# --- experts side by side -----------------------------------------------------------------------------------


class _Wide:
    """Values of all experts as one, whose channels are those of one expert after another."""

    def __init__(self, new: Nodes) -> None:
        self._new = new
        self._known: dict[tuple[ir.Value, ...], ir.Value | None] = {}

    def value(self, values: Sequence[ir.Value]) -> ir.Value | None:
        """None where they are computed in different ways."""
        key = tuple(values)
        if key not in self._known:
            self._known[key] = self._computed(values)
        return self._known[key]

    def _computed(self, values: Sequence[ir.Value]) -> ir.Value | None:
        nodes = [n for v in values if (n := v.producer()) is not None and v.const_value is None]
        if len(nodes) != len(values) or not all(alike(n, nodes[0]) for n in nodes):
            return None
        first, shape = nodes[0], shape_of(values[0])
        columns = list(zip(*(n.inputs for n in nodes), strict=True))
        if is_op(first, *ELEMENTWISE):
            inputs = [self._operand(column, shape[-1]) for column in columns]
        elif is_op(first, "MatMul", "Gemm"):
            inputs = self._layer(first, columns)
        else:
            return None
        if any(found is None for found in inputs):
            return None
        attributes = {name: a.value for name, a in first.attributes.items()}
        return self._new.add(first.op_type, inputs, (*shape[:-1], len(values) * shape[-1]), attributes, values[0].dtype)

    def _operand(self, column: Sequence[ir.Value | None], channels: int) -> ir.Value | None:
        given = [v for v in column if v is not None]
        arrays = [a for v in given if (a := constant(v)) is not None]
        if len(given) != len(column):
            return None
        if not arrays:
            return self.value(given)
        if len(arrays) != len(given):
            return None
        if all(a.size == 1 and np.array_equal(a, arrays[0]) for a in arrays):
            return given[0]
        if all(a.shape == arrays[0].shape and a.shape[-1:] == (channels,) for a in arrays):
            return self._new.constant(np.concatenate(arrays, axis=-1))
        return None

    def _layer(self, node: ir.Node, columns: Sequence[Sequence[ir.Value | None]]) -> list[ir.Value | None]:
        """One input for all, weights side by side."""
        x, *constants = columns
        arrays = [[constant(v) for v in column] for column in constants]
        if any(v is not x[0] for v in x) or (is_op(node, "Gemm") and not _is_plain(node)):
            return [None]
        inputs = [x[0]]
        for index, column in enumerate(arrays):
            given: list[NDArray[Any]] = [a for a in column if a is not None]
            if len(given) != len(column) or given[0].ndim != 2 - index:
                return [None]
            axis = 0 if index or attribute(node, "transB", 0) else 1
            inputs.append(self._new.constant(np.concatenate(given, axis=axis)))
        return inputs
