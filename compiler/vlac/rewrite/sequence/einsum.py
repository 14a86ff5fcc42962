"""Einsum of two operands becomes Transposes, Reshapes and one MatMul; of one operand, a Transpose.

Not matched: an index that only one operand has and the result has not (a sum), the same index twice in an operand, an
ellipsis over sizes that differ, more than two operands.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from vlac.model.reading import attribute, constant, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.match import is_op

__all__ = ["split_einsums"]

_SPARE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # for what an ellipsis stands for


def split_einsums(model: ir.Model) -> None:
    """Rewrite every such Einsum of a float model, in place."""
    for node in list(model.graph):
        if is_op(node, "Einsum"):
            _split(model.graph, node)


def _split(graph: ir.Graph, node: ir.Node) -> None:
    inputs = [v for v in node.inputs if v is not None]
    terms = _terms(attribute(node, "equation", ""), [len(shape_of(v)) for v in inputs])
    if terms is None or len(inputs) > 2 or any(len(set(t)) < len(t) for t in terms):
        return
    *sources, out = terms
    with Nodes(graph, node) as new:
        if len(inputs) == 1:
            if set(sources[0]) == set(out):
                new.replace(_ordered(new, inputs[0], sources[0], out))
            return
        result = _product(new, inputs, sources, out)
        if result is not None:
            new.replace(result)


def _terms(equation: str, ranks: list[int]) -> list[str] | None:
    """The indices of each operand and of the result, an ellipsis written out."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    sources = left.split(",")
    if any(c in _SPARE for c in equation) or len(sources) != len(ranks):
        return None
    spans = [rank - len(t.replace("...", "")) for t, rank in zip(sources, ranks, strict=True) if "..." in t]
    if len(set(spans)) > 1 or min(spans, default=0) < 0:
        return None
    spare = _SPARE[: spans[0]] if spans else ""
    if not arrow:
        letters = sorted(c for c in set(left) if c.isalpha() and left.count(c) == 1)
        right = ("..." if spans else "") + "".join(letters)
    return [t.replace("...", spare) for t in (*sources, right)]


def _product(new: Nodes, inputs: list[ir.Value], sources: list[str], out: str) -> ir.Value | None:
    a, b = sources
    sizes: dict[str, int] = {}
    for term, value in zip(sources, inputs, strict=True):
        for letter, size in zip(term, shape_of(value), strict=True):
            if sizes.setdefault(letter, size) != size:
                return None  # an ellipsis that broadcasts
    shared = [c for c in a if c in b]
    batch = [c for c in shared if c in out]
    summed = [c for c in shared if c not in out]
    rows, columns = ([c for c in t if c not in shared] for t in (a, b))
    if not summed or any(c not in out for c in (*rows, *columns)):
        return None
    order = [c for c in out if c in batch]
    extra, row = _rows(rows, a, out, order, summed, columns)

    def sizes_of(letters: list[str]) -> list[int]:
        return [sizes[c] for c in letters]

    left = _ordered(new, inputs[0], a, [*order, *extra, *row, *summed])
    right = _ordered(new, inputs[1], b, [*order, *summed, *columns])
    lead, m, k, n = (*sizes_of(order), *sizes_of(extra)), *(math.prod(sizes_of(x)) for x in (row, summed, columns))
    left = _reshape(new, left, (*lead, m, k))
    right = _reshape(new, right, (*sizes_of(order), *[1] * len(extra), k, n))
    product = new.add("MatMul", [left, right], (*lead, m, n))
    found = [*order, *extra, *row, *columns]
    return _ordered(new, _reshape(new, product, tuple(sizes_of(found))), found, out)


def _rows(
    rows: list[str], a: str, out: str, order: list[str], summed: list[str], columns: list[str]
) -> tuple[list[str], list[str]]:
    """The left operand's own indices as a batch of that operand alone, and the one that counts rows of matrices.

    The one with which fewest Transposes are left: in attention, what counts queries, not heads.
    """

    def transposes(row: list[str]) -> int:
        lead = [*order, *(c for c in out if c in rows and c not in row), *row]
        return ([*lead, *summed] != list(a)) + ([*lead, *columns] != list(out))

    row = min(([c] for c in reversed(rows)), key=transposes, default=[])
    return [c for c in out if c in rows and c not in row], row


def _reshape(new: Nodes, value: ir.Value, shape: tuple[int, ...]) -> ir.Value:
    if shape_of(value) == shape:
        return value
    array = constant(value)
    return new.reshape(value, shape) if array is None else new.constant(array.reshape(shape))


def _ordered(new: Nodes, value: ir.Value, given: str | list[str], wanted: str | list[str]) -> ir.Value:
    order = [list(given).index(c) for c in wanted]
    if order == sorted(order):
        return value
    shape, array = shape_of(value), constant(value)
    if array is not None:
        return new.constant(np.ascontiguousarray(array.transpose(order)))
    return new.add("Transpose", [value], [shape[i] for i in order], {"perm": order})
