"""GELU and SiLU in their parts become Gelu and Swish.

matches: x * g(u) with constant factors in any order, where g(u) is 1 + Erf(x / sqrt 2), 1 + Tanh of GELU's polynomial
(both with a half), or Sigmoid(a * x). Constants must be the function's own up to float rounding: an approximation of
another kind stays what it is. Only in models of sequences: in others a chain of functions is one table already.
"""

from __future__ import annotations

import math
from typing import Any

import onnx_ir as ir

from vlac.model.reading import shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.match import is_op, made_by, operands, pairs, scalar

__all__ = ["recover_activations"]

_CLOSE = 2e-6  # relative: constants in float32, computed in another order
_ROOT = math.sqrt(2 / math.pi)
_MOST = 4  # factors behind the inner function

Polynomial = dict[int, float]


def recover_activations(model: ir.Model) -> None:
    """Rewrite every such function of a float model, in place."""
    for node in list(model.graph):
        if is_op(node, "Erf", "Tanh", "Sigmoid") and node.graph is model.graph:
            _recover(model.graph, node)


def _recover(graph: ir.Graph, node: ir.Node) -> None:
    gate: ir.Value | None = node.outputs[0]
    if node.op_type != "Sigmoid":
        gate = _plus_one(node.outputs[0])
    if gate is None:
        return
    found = _product(gate, node)
    if found is None:
        return
    last, x, op, attributes = found
    new = Nodes(graph, last)
    new.replace(new.add(op, [x], shape_of(last.outputs[0]), attributes))


def _plus_one(value: ir.Value) -> ir.Value | None:
    for reader in value.consumers():
        if is_op(reader, "Add") and any(a is value and scalar(b) == 1 for a, b in pairs(reader)):
            return reader.outputs[0]
    return None


def _product(gate: ir.Value, inner: ir.Node) -> tuple[ir.Node, ir.Value, str, dict[str, Any]] | None:
    """The product of x, the gate and constants: its last node, x, and the function."""
    value, factor, x = gate, 1.0, None
    for _ in range(_MOST):
        readers = value.consumers()
        if len(readers) != 1 or value.is_graph_output():
            return None
        node = readers[0]
        step = _step(node, value)
        if step is None:
            return None
        other, number = step
        factor *= number
        if other is not None:
            if x is not None:
                return None
            x, scale = _without_scale(other, inner)
            factor *= scale
        value = node.outputs[0]
        if x is not None:
            function = _function(inner, x, factor)
            if function is not None:
                return node, x, *function
    return None


def _step(node: ir.Node, value: ir.Value) -> tuple[ir.Value | None, float] | None:
    """What a node multiplies a value by: another value, or a number."""
    if is_op(node, "Div") and operands(node)[0] is value:
        divisor = scalar(operands(node)[1])
        return (None, 1 / divisor) if divisor else None
    if is_op(node, "Mul"):
        for a, b in pairs(node):
            if a is value:
                number = scalar(b)
                return (b, 1.0) if number is None else (None, number)
    return None


def _without_scale(value: ir.Value, inner: ir.Node) -> tuple[ir.Value, float]:
    """x and the number of a product, unless the function inside reads the product itself."""
    source = inner.inputs[0]
    if source is None or _polynomial(source, value) is not None:
        return value, 1.0
    for a, b in pairs(made_by(value, "Mul")):
        number = scalar(b)
        if number is not None:
            return a, number
    return value, 1.0


def _function(inner: ir.Node, x: ir.Value, factor: float) -> tuple[str, dict[str, Any]] | None:
    """The activation that factor * x * gate is."""
    source = inner.inputs[0]
    found = None if source is None else _polynomial(source, x)
    if found is None:
        return None
    if inner.op_type == "Sigmoid":
        alpha = found.get(1, 0.0)
        whole = set(found) == {1} and alpha > 0 and _close(factor, 1)
        return ("Swish", {} if _close(alpha, 1) else {"alpha": alpha}) if whole else None
    if not _close(factor, 0.5):
        return None
    if inner.op_type == "Erf":
        return ("Gelu", {}) if set(found) == {1} and _close(found[1], math.sqrt(0.5)) else None
    if set(found) == {1, 3} and _close(found[1], _ROOT) and _close(found[3], 0.044715 * _ROOT):
        return "Gelu", {"approximate": "tanh"}
    return None


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= _CLOSE * abs(b)


def _polynomial(value: ir.Value, x: ir.Value, depth: int = 8) -> Polynomial | None:
    """A value as a polynomial in x, by degree; None where it is none of degree 3 at most."""
    if value is x:
        return {1: 1.0}
    number = scalar(value)
    if number is not None:
        return {0: number}
    node = made_by(value, "Add", "Mul", "Div", "Pow")
    if node is None or depth == 0:
        return None
    a, b = (_polynomial(v, x, depth - 1) for v in operands(node))
    if a is None or b is None:
        return None
    if node.op_type == "Add":
        return {d: a.get(d, 0.0) + b.get(d, 0.0) for d in {*a, *b}}
    if node.op_type == "Mul":
        return _times(a, b)
    if set(b) != {0}:
        return None
    if node.op_type == "Div":
        return {d: c / b[0] for d, c in a.items()} if b[0] else None
    return _power(a, b[0])


def _times(a: Polynomial, b: Polynomial) -> Polynomial | None:
    found: Polynomial = {}
    for d, c in a.items():
        for e, f in b.items():
            found[d + e] = found.get(d + e, 0.0) + c * f
    return found if max(found) <= 3 else None


def _power(a: Polynomial, exponent: float) -> Polynomial | None:
    if exponent not in (1, 2, 3):
        return None
    found: Polynomial | None = a
    for _ in range(int(exponent) - 1):
        found = None if found is None else _times(found, a)
    return found
