"""A token mixture of stacked weights [E, K, N], of which every expert is an axis: what `token_mixtures.py` needs of it.

matches: ReduceSum over the experts' axis of Mul(results, gates), where results are MatMul(hidden, weights [E, K, N]),
perhaps with a bias; axes in any order, as torch.bmm, torch.einsum and broadcasting matmul leave them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.reading import constant, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.gates import Shares, gates_in
from vlac.rewrite.sequence.match import is_op, made_by, pairs, reduced_axes
from vlac.rewrite.sequence.views import View, view_of

__all__ = ["ELEMENTWISE", "Stacked", "stacked_mixture"]

F32 = NDArray[np.float32]
ELEMENTWISE = (
    *("Relu", "Gelu", "Swish", "Sigmoid", "Tanh", "Erf", "HardSwish", "HardSigmoid", "LeakyRelu", "Elu", "Softplus"),
    *("Mish", "Exp", "Neg", "Sqrt", "Clip", "Pow", "Add", "Sub", "Mul", "Div"),
)


@dataclass
class Stacked:
    """A mixture of stacked weights.

    Attributes:
        shares: its gates.
        inner: hidden values, with the experts on axis `axis` and the channels last.
        weights: [E, K, N] of the last layer.
        biases: [E, N] of it.
    """

    shares: Shares
    inner: ir.Value
    axis: int
    weights: F32
    biases: F32

    def hidden(self, new: Nodes) -> ir.Value | None:
        """Hidden values [tokens, E * K], those of one expert after another; None where they cannot be made so."""
        return _Side(new, self.weights.shape[0]).value(self.inner, self.axis)


def stacked_mixture(node: ir.Node) -> Stacked | None:
    """The mixture whose sum a ReduceSum is."""
    axes, product = reduced_axes(node), made_by(node.inputs[0], "Mul")
    if axes is None or len(axes) != 1 or product is None:
        return None
    axis, shape = axes[0], shape_of(product.outputs[0])
    for gates, results in pairs(product):
        if shape_of(results) != shape or axis >= len(shape) - 1 or shape_of(gates)[-1:] != (1,):
            continue
        view = view_of(gates)
        shares = gates_in(view.root)
        if shares is None or view.shape != (*shape[:-1], 1) or shape[axis] != shape_of(shares.logits)[-1]:
            continue
        if np.array_equal(_moved(view.positions, axis), np.arange(view.positions.size)):
            return _last_layer(shares, results, axis)
    return None


def _moved(array: NDArray[Any], axis: int) -> NDArray[Any]:
    """In the order tokens, experts, channels."""
    return np.moveaxis(array, axis, -2).reshape(-1)


def _axis_of(view: View, axis: int, count: int) -> int | None:
    """The axis of a view's source that is this one of the view, where tokens and channels keep their order."""
    shape = shape_of(view.root)
    wanted = _moved(view.positions, axis)
    whole = np.arange(math.prod(shape)).reshape(shape)
    found = (r for r in range(len(shape) - 1) if shape[r] == count and np.array_equal(_moved(whole, r), wanted))
    return next(found, None) if whole.size == wanted.size else None


def _last_layer(shares: Shares, results: ir.Value, axis: int) -> Stacked | None:
    count = shape_of(shares.logits)[-1]
    view = view_of(results)
    at = _axis_of(view, axis, count)
    node, bias = view.root.producer(), None
    if at is None or node is None:
        return None
    for product, other in pairs(node) if is_op(node, "Add") else ():
        array = constant(other)
        if array is not None and shape_of(product) == shape_of(view.root):
            bias = _row(array, shape_of(view.root), at)
            node, below = product.producer(), view_of(product)
            at = _axis_of(below, at, count)
            node = below.root.producer()
            if bias is None or at is None or node is None:
                return None
            break
    weights = None if node is None or not is_op(node, "MatMul") else _stack(node, at, count)
    if weights is None or node is None or node.inputs[0] is None:
        return None
    own = at - len(shape_of(node.outputs[0])) + len(shape_of(node.inputs[0]))
    if own < 0 or shape_of(node.inputs[0])[own] != count:
        return None
    zeros = np.zeros((count, weights.shape[2]), np.float32)
    return Stacked(shares, node.inputs[0], own, weights, zeros if bias is None else bias.reshape(zeros.shape))


def _row(array: NDArray[Any], shape: Sequence[int], axis: int) -> F32 | None:
    """A constant operand as a row of the experts' channels [E * N]; None where it differs between tokens."""
    full = np.broadcast_to(array, shape)
    tokens = np.moveaxis(full, axis, -2).reshape(-1, shape[axis] * shape[-1])
    return tokens[0].astype(np.float32) if (tokens == tokens[:1]).all() else None


def _stack(node: ir.Node, axis: int, count: int) -> F32 | None:
    """The weights [E, K, N] of a MatMul that has the experts on an axis of its result."""
    weight, rank = constant(node.inputs[1]), len(shape_of(node.outputs[0]))
    if weight is None or weight.ndim < 3:
        return None
    own = axis - rank + weight.ndim
    if own < 0 or own >= weight.ndim - 2 or math.prod(weight.shape[:-2]) != count or weight.shape[own] != count:
        return None
    return weight.reshape(count, *weight.shape[-2:]).astype(np.float32)


@dataclass
class _Side:
    """Values with the experts on an axis as [tokens, E * channels]."""

    new: Nodes
    count: int
    known: dict[tuple[ir.Value, int], ir.Value | None] = field(default_factory=dict)

    def value(self, value: ir.Value, axis: int) -> ir.Value | None:
        """None where it cannot be made."""
        key = value, axis
        if key not in self.known:
            self.known[key] = self._made(value, axis)
        return self.known[key]

    def _made(self, value: ir.Value, axis: int) -> ir.Value | None:
        view = view_of(value)
        at = _axis_of(view, axis, self.count)
        flat = math.prod(view.shape) // (self.count * view.shape[-1]), self.count * view.shape[-1]
        if at is None and np.array_equal(_moved(view.positions, axis), np.arange(math.prod(flat))):
            return self._rows(view.root, flat)
        if at is None or view.root.producer() is None:
            return None
        root, node = view.root, view.root.producer()
        assert node is not None
        shape = shape_of(root)
        size = math.prod(shape[:at]) * math.prod(shape[at + 1 : -1]), self.count * shape[-1]
        if is_op(node, *ELEMENTWISE):
            inputs = [self._operand(v, shape, at) for v in node.inputs]
            if any(found is None for found in inputs):
                return None
            attributes = {name: a.value for name, a in node.attributes.items()}
            return self.new.add(node.op_type, inputs, size, attributes, root.dtype)
        weights = _stack(node, at, self.count) if is_op(node, "MatMul") else None
        x = node.inputs[0]
        if weights is not None and x is not None and math.prod(shape_of(x)[:-1]) == size[0]:
            wide = self.new.constant(weights.transpose(1, 0, 2).reshape(weights.shape[1], -1))
            return self.new.add("MatMul", [self._rows(x, (size[0], shape_of(x)[-1])), wide], size, dtype=root.dtype)
        if at != len(shape) - 2:
            order = [*(i for i in range(len(shape)) if i not in (at, len(shape) - 1)), at, len(shape) - 1]
            root = self.new.add("Transpose", [root], [shape[i] for i in order], {"perm": order}, root.dtype)
        return self._rows(root, size)

    def _rows(self, value: ir.Value, size: tuple[int, ...]) -> ir.Value:
        plain = view_of(value)
        source = plain.root if plain.is_whole else value
        return source if shape_of(source) == size else self.new.reshape(source, size)

    def _operand(self, value: ir.Value | None, shape: tuple[int, ...], axis: int) -> ir.Value | None:
        array = constant(value)
        if value is None:
            return None
        if array is None:
            return self.value(value, axis) if shape_of(value) == shape else None
        if array.size == 1:
            return value
        row = _row(array, shape, axis)
        return None if row is None else self.new.constant(row)
