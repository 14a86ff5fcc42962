"""LayerNorm and RMSNorm in their parts become LayerNormalization and RMSNormalization over the last axes.

matches: d / sqrt(mean(d * d) + eps), also by Reciprocal, Pow -0.5 or a product, where d is x (RMS) or x - mean(x) (LN);
then a product with a constant gamma and a sum with a constant beta, where nothing else reads what lies between.
A norm over one axis that is not the last stands between two Transposes. Not matched: the deviation of n - 1 values, an
eps outside of the root, a mean over some axes in the middle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.reading import constant, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.match import is_op, made_by, operands, pairs, reduced_axes, scalar, uncast
from vlac.rewrite.sequence.views import view_of

__all__ = ["recover_norms"]

F64 = NDArray[np.float64]


def recover_norms(model: ir.Model) -> None:
    """Rewrite every such norm of a float model, in place."""
    for node in list(model.graph):
        if is_op(node, "Mul", "Div") and node.graph is model.graph:
            found = _norm(node)
            if found is not None:
                _replace(model.graph, node, found)


@dataclass
class _Norm:
    """A norm of `x`; `gamma` and `beta` have the sizes of the normalised axes, or 1."""

    x: ir.Value
    axes: list[int]
    eps: float
    centered: bool
    gamma: F64 | None = None
    beta: F64 | None = None

    def sized(self, array: NDArray[np.generic] | None) -> F64 | None:
        """A constant that is one over the other axes, with the sizes of the normalised ones; None where it is not."""
        shape = shape_of(self.x)
        if array is None or array.dtype.kind != "f" or array.ndim > len(shape):
            return None
        full = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
        if any(n > 1 and i not in self.axes for i, n in enumerate(full.shape)):
            return None
        sizes = [shape[i] for i in self.axes]
        return np.broadcast_to(full.reshape([full.shape[i] for i in self.axes]), sizes).astype(np.float64)


def _norm(node: ir.Node) -> _Norm | None:
    """The norm that a product or quotient is, without what follows."""
    for numerator, denominator, inverse in _quotients(node):
        root = _root(denominator, inverse)
        if root is None:
            continue
        for d, gamma in _factors(numerator):
            found = _over(d, root)
            if found is None:
                continue
            if gamma is not None:
                found.gamma = found.sized(gamma)
            if gamma is None or found.gamma is not None:
                return found
    return None


def _quotients(node: ir.Node) -> Iterator[tuple[ir.Value, ir.Value, bool]]:
    """Numerator and denominator; `inverse`: the latter is one over the root already."""
    if is_op(node, "Div"):
        a, b = operands(node)
        yield a, b, False
    else:
        for a, b in pairs(node):
            yield a, b, True


def _factors(value: ir.Value) -> Iterator[tuple[ir.Value, NDArray[np.generic] | None]]:
    """The value, and what it is with a constant factor taken away."""
    yield value, None
    for a, b in pairs(made_by(value, "Mul")):
        array = constant(b)
        if array is not None:
            yield a, array


def _root(value: ir.Value, inverse: bool) -> tuple[ir.Value, float] | None:
    """Mean square and eps of sqrt(mean + eps), or of one over it; with the mean's axes kept at size 1."""
    value = _plain(value)
    if inverse:
        reciprocal = made_by(value, "Reciprocal")
        if reciprocal is not None:
            return _root(_input(reciprocal), False)
        quotient = made_by(value, "Div")
        if quotient is not None and scalar(operands(quotient)[0]) == 1:
            return _root(operands(quotient)[1], False)
    sqrt = made_by(value, "Sqrt")
    if sqrt is not None and not inverse:
        return _sum(_input(sqrt))
    power = made_by(value, "Pow")
    if power is not None and scalar(operands(power)[1]) == (-0.5 if inverse else 0.5):
        return _sum(operands(power)[0])
    return None


def _sum(value: ir.Value) -> tuple[ir.Value, float] | None:
    for mean, eps in pairs(made_by(_plain(value), "Add")):
        number = scalar(eps)
        if number is not None and number >= 0:
            return mean, number
    return None


def _over(d: ir.Value, root: tuple[ir.Value, float]) -> _Norm | None:
    """The norm d / root, where the root is over the mean square of d itself."""
    mean, eps = root
    inner = _mean(mean)
    if inner is None:
        return None
    squared, axes = inner
    base = _squared(squared)
    d_plain = uncast(d)
    if base is None or d_plain is None:
        return None
    shape = shape_of(d)
    if shape_of(mean) != tuple(1 if i in axes else n for i, n in enumerate(shape)):
        return None
    centered, centered_base = _centered(d_plain, axes), _centered(base, axes)
    if centered is not None and centered is centered_base:
        return _Norm(centered, axes, eps, True)
    return _Norm(d_plain, axes, eps, False) if base is d_plain else None


def _mean(value: ir.Value) -> tuple[ir.Value, list[int]] | None:
    """What a value is the mean of, and over which axes; moves behind it only keep axes of size 1."""
    node = made_by(_plain(value), "ReduceMean")
    axes = None if node is None else reduced_axes(node)
    return None if node is None or axes is None else (_input(node), axes)


def _squared(value: ir.Value) -> ir.Value | None:
    value_plain = uncast(value)
    power = made_by(value_plain, "Pow")
    if power is not None and scalar(operands(power)[1]) == 2:
        return uncast(operands(power)[0])
    product = made_by(value_plain, "Mul")
    if product is not None and uncast(operands(product)[0]) is uncast(operands(product)[1]):
        return uncast(operands(product)[0])
    return None


def _centered(value: ir.Value, axes: list[int]) -> ir.Value | None:
    """x of x - mean(x)."""
    node = made_by(value, "Sub")
    if node is None:
        return None
    x, mean = operands(node)
    inner = _mean(mean)
    if inner is None or inner[1] != axes or uncast(inner[0]) is not uncast(x):
        return None
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape_of(x)))
    return uncast(x) if shape_of(mean) == kept else None


def _plain(value: ir.Value) -> ir.Value:
    """The value in front of Reshapes and casts; what axes it has, the caller checks."""
    view = view_of(value)
    root = uncast(view.root if view.is_whole else value)
    assert root is not None
    return root


def _input(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    assert value is not None
    return value


# --- the node -----------------------------------------------------------------------------------------


def _replace(graph: ir.Graph, node: ir.Node, found: _Norm) -> None:
    rank = len(shape_of(found.x))
    trailing = found.axes == list(range(rank - len(found.axes), rank))
    if not trailing and len(found.axes) > 1:
        return
    last = _with_parameters(node, found)
    new = Nodes(graph, last)
    x, order = found.x, None
    if not trailing:
        order = [*(i for i in range(rank) if i not in found.axes), *found.axes]
        x = new.add("Transpose", [x], [shape_of(x)[i] for i in order], {"perm": order})
    sizes = [shape_of(found.x)[i] for i in found.axes]
    gamma = np.ones(sizes) if found.gamma is None else found.gamma
    inputs = [x, new.constant(gamma.astype(np.float32))]
    if found.beta is not None:
        inputs.append(new.constant(found.beta.astype(np.float32)))
    op = "LayerNormalization" if found.centered else "RMSNormalization"
    y = new.add(op, inputs, shape_of(x), {"axis": -len(found.axes), "epsilon": found.eps})
    if order is not None:
        back = [int(i) for i in np.argsort(order)]
        y = new.add("Transpose", [y], shape_of(found.x), {"perm": back})
    new.replace(y)


def _with_parameters(node: ir.Node, found: _Norm) -> ir.Node:
    """Take a gamma and a beta that follow into the norm; the node behind them."""
    if found.gamma is None:
        follower = _only_reader(node, "Mul")
        gamma = None if follower is None else found.sized(_other(follower, node))
        if follower is not None and gamma is not None:
            node, found.gamma = follower, gamma
    if found.centered:
        follower = _only_reader(node, "Add")
        beta = None if follower is None else found.sized(_other(follower, node))
        if follower is not None and beta is not None:
            node, found.beta = follower, beta
    return node


def _only_reader(node: ir.Node, op: str) -> ir.Node | None:
    value = node.outputs[0]
    readers = value.consumers()
    if len(readers) != 1 or value.is_graph_output() or not is_op(readers[0], op):
        return None
    return readers[0] if shape_of(readers[0].outputs[0]) == shape_of(value) else None


def _other(node: ir.Node, known: ir.Node) -> NDArray[np.generic] | None:
    return next((constant(b) for a, b in pairs(node) if a is known.outputs[0]), None)
