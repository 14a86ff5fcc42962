"""A row divided by its length becomes RMSNormalization, whose gamma is 1 / sqrt(D).

matches: x / ||x||, where the length over the last axis is ReduceL2, or the root of a sum of squares with a small number
in it; bounded from below by a small number (`F.normalize`), and expanded; also by Reciprocal and a product.
The bound c becomes an epsilon of c * c / D, so that a row of zeros stays one.
Not matched: lengths over other axes, a bound that rows of a network come near to.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from vlac.model.reading import shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.match import is_op, made_by, operands, pairs, reduced_axes, scalar, uncast
from vlac.rewrite.sequence.views import View, view_of

__all__ = ["recover_lengths"]

_SMALL = 1e-3


def recover_lengths(model: ir.Model) -> None:
    """Rewrite every such quotient of a float model, in place."""
    for node in list(model.graph):
        if is_op(node, "Mul", "Div") and node.graph is model.graph:
            found = _quotient(node)
            if found is not None:
                _replace(model.graph, node, *found)


def _quotient(node: ir.Node) -> tuple[ir.Value, float] | None:
    """x of x / ||x||, and what is added to its squares."""
    x, divisor = operands(node)
    if is_op(node, "Div"):
        square = _length(divisor, x)
        return None if square is None else (x, square)
    for a, b in pairs(node):
        inverse = made_by(b, "Reciprocal", "Div")
        if inverse is not None and (inverse.op_type == "Reciprocal" or scalar(inverse.inputs[0]) == 1):
            square = _length(inverse.inputs[-1], a)
            if square is not None:
                return a, square
    return None


def _length(value: ir.Value | None, x: ir.Value) -> float | None:
    """What is added to the squares where `value` is the length of each row of `x`."""
    value = _of_rows(value, x)
    for name in ("Clip", "Max"):
        bounded = made_by(value, name)
        bound = None if bounded is None or len(bounded.inputs) < 2 else scalar(bounded.inputs[1])
        if bounded is not None and bound is not None and 0 < bound <= _SMALL and not any(bounded.inputs[2:]):
            square = _length(bounded.inputs[0], x)
            return None if square is None else max(square, bound * bound)
    norm, root = made_by(value, "ReduceL2"), made_by(value, "Sqrt")
    if norm is not None:
        return 0.0 if _reduces(norm, norm.inputs[0], x) else None
    return None if root is None else _sum(root.inputs[0], x)


def _of_rows(value: ir.Value | None, x: ir.Value) -> ir.Value | None:
    """The value with one number for each row of `x` that `value` is, perhaps expanded along the row."""
    if value is None:
        return None
    view, root = view_of(value), View.whole(view_of(value).root)
    rank = len(shape_of(x))
    flat = len(view.axes) == rank and not view.offset and not any(stride for _, stride in view.axes[-1])
    lead = root.axes[: rank - 1]
    return uncast(root.root) if flat and view.axes[:-1] == lead and not any(root.axes[rank - 1 :]) else None


def _sum(value: ir.Value | None, x: ir.Value) -> float | None:
    """What a sum of squares of the rows of `x` has besides."""
    for a, b in pairs(made_by(value, "Add")):
        more = scalar(b)
        if more is not None and 0 <= more <= _SMALL and _sum(a, x) == 0:
            return more
    total = made_by(value, "ReduceSum", "ReduceSumSquare")
    if total is None:
        return None
    base = total.inputs[0] if total.op_type == "ReduceSumSquare" else _base(total.inputs[0])
    return 0.0 if _reduces(total, base, x) else None


def _base(value: ir.Value | None) -> ir.Value | None:
    """What a value is the square of."""
    power, product = made_by(value, "Pow"), made_by(value, "Mul")
    if power is not None:
        return power.inputs[0] if scalar(power.inputs[1]) == 2 else None
    return product.inputs[0] if product is not None and product.inputs[0] is product.inputs[1] else None


def _reduces(node: ir.Node, base: ir.Value | None, x: ir.Value) -> bool:
    """Whether a reduction of what is made of `base` is over the last axis of `x`."""
    return uncast(base) is uncast(x) and reduced_axes(node) == [len(shape_of(x)) - 1]


def _replace(graph: ir.Graph, node: ir.Node, x: ir.Value, square: float) -> None:
    size = shape_of(x)[-1]
    with Nodes(graph, node) as new:
        gamma = new.constant(np.full(size, 1 / math.sqrt(size), np.float32))
        new.replace(new.add("RMSNormalization", [x, gamma], shape_of(x), {"axis": -1, "epsilon": square / size}))
