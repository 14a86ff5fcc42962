"""Attention written as two products and a Softmax becomes one Attention node.

matches: MatMul(P, V) or MatMul(V', P') where P is Softmax over keys of what leads, through scales by constants, masks
that are added or chosen by Where, a cap by Tanh and moves, to a MatMul of queries and keys. IsNaN-Where behind the
Softmax goes: a row with every key masked is 0.
A constant factor per head goes to the queries. Not matched: keys that are constants (a layer, not attention),
Softmax over another axis, a factor that is computed, and a mask that leaves a row without keys for every input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.mask_structure import NEVER
from vlac.model.reading import attribute, constant, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.cache import joined_rows, past_of
from vlac.rewrite.sequence.emit import emit
from vlac.rewrite.sequence.masks import Term
from vlac.rewrite.sequence.match import is_op, made_by, operands, pairs, scalar, uncast
from vlac.rewrite.sequence.packed import Operands, build
from vlac.rewrite.sequence.views import View, view_of

__all__ = ["recover_attention"]

_NO_BOUND = -1e30  # Max with less keeps every logit


def recover_attention(model: ir.Model) -> None:
    """Rewrite every such pair of products of a float model, in place."""
    for node in list(model.graph):
        if is_op(node, "MatMul") and node.graph is model.graph:
            _recover(model.graph, node)


@dataclass(frozen=True)
class _Logits:
    """Logits as q @ keys, a scale and terms of a mask; `shape` is theirs where the product is made."""

    q: ir.Value
    keys: ir.Value
    shape: tuple[int, ...]
    scale: float = 1.0
    terms: tuple[Term, ...] = ()
    leads: tuple[tuple[int, ...], ...] = ()  # of each term, the leading sizes of the logits it is added to
    softcap: float = 0.0
    factors: NDArray[np.generic] | None = None  # of the logits, with sizes of 1 for queries and keys


def _recover(graph: ir.Graph, node: ir.Node) -> None:
    for turned in (False, True):
        weights, values = operands(node) if not turned else operands(node)[::-1]
        softmax = _softmax(weights, turned)
        if softmax is None:
            continue
        logits = _logits(softmax.inputs[0])
        if logits is None or constant(logits.keys) is not None:
            continue
        with Nodes(graph, node) as new:
            view = _swapped(view_of(values)) if turned else view_of(values)
            result = _attention(new, logits, view, shape_of(node.outputs[0]), turned)
            if result is not None:
                new.replace(result)
                return


def _softmax(weights: ir.Value, turned: bool) -> ir.Node | None:
    """The Softmax over the last axis whose result, with moves before the last two axes at most, is `weights`."""
    view = view_of(weights)
    if turned:
        view = _swapped(view)
    source, node = view.root, made_by(view.root, "Where")
    if node is not None and made_by(node.inputs[0], "IsNaN") and scalar(node.inputs[1]) == 0:
        source = node.inputs[2]
        check = made_by(node.inputs[0], "IsNaN")
        if source is None or check is None or check.inputs[0] is not source:
            return None
    softmax = made_by(source, "Softmax")
    if softmax is None or not view.is_whole or view.shape[-2:] != shape_of(view.root)[-2:]:
        return None
    rank = len(shape_of(softmax.outputs[0]))
    return softmax if attribute(softmax, "axis", -1) % rank == rank - 1 else None


def _swapped(view: View) -> View:
    rank = len(view.axes)
    return view if rank < 2 else view.transpose((*range(rank - 2), rank - 1, rank - 2))


def _logits(value: ir.Value | None) -> _Logits | None:
    """Logits of a value, back to the product of queries and keys."""
    value = uncast(value)
    node = None if value is None else value.producer()
    if value is None or node is None:
        return None
    if is_op(node, "MatMul"):
        q, keys = operands(node)
        return _Logits(q, keys, shape_of(value))
    view = view_of(value)
    if view.root is not value:
        found = _logits(view.root) if view.is_whole and view.shape[-2:] == shape_of(view.root)[-2:] else None
        return found
    step = _STEPS.get(node.op_type)
    return None if step is None or node.domain not in ("", "ai.onnx") else step(node)


def _of_sum(node: ir.Node) -> _Logits | None:
    for a, b in pairs(node):
        found = _logits(a) if constant(a) is None else None
        if found is not None:
            return _with_term(found, b, node, 1.0, keep=False)
    return None


def _of_difference(node: ir.Node) -> _Logits | None:
    a, b = operands(node)
    found = _logits(a)
    return None if found is None else _with_term(found, b, node, -1.0, keep=False)


def _of_product(node: ir.Node) -> _Logits | None:
    capped = _of_cap(node)
    if capped is not None:
        return capped
    for a, b in pairs(node):
        factor = scalar(b)
        if factor is not None:
            return _scaled(_logits(a), factor)
        array = constant(b)
        if array is not None and array.shape[-2:] == (1, 1) and shape_of(a) == shape_of(node.outputs[0]):
            found = _logits(a)
            simple = found is not None and not found.terms and not found.softcap and found.factors is None
            return replace(found, factors=array) if found is not None and simple else None
    return None


def _of_quotient(node: ir.Node) -> _Logits | None:
    a, b = operands(node)
    divisor = scalar(b)
    return None if not divisor else _scaled(_logits(a), 1 / divisor)


def _scaled(found: _Logits | None, factor: float) -> _Logits | None:
    if found is None or not math.isfinite(factor) or found.softcap:
        return None
    terms = tuple(replace(t, factor=t.factor * factor) for t in found.terms)
    if factor <= 0 and any(t.keep for t in terms):
        return None
    return replace(found, scale=found.scale * factor, terms=terms)


def _of_choice(node: ir.Node) -> _Logits | None:
    """Where(keep, logits, never) or Where(mask, never, logits)."""
    condition, first, second = node.inputs
    for kept, other, negated in ((first, second, False), (second, first, True)):
        never = constant(other)
        if never is None or not never.size or not (never <= NEVER).all():
            continue
        found = _logits(kept)
        if found is None or condition is None:
            return None
        if not negated:
            return _with_term(found, condition, node, 1.0, keep=True)
        return _with_term(found, condition, node, 1.0, keep=False, negated=True)
    return None


def _of_bound(node: ir.Node) -> _Logits | None:
    """Max(logits, lowest number): every logit stays."""
    for a, b in pairs(node):
        bound = constant(b)
        if bound is not None and (bound <= _NO_BOUND).all():
            return _logits(a)
    return None


def _of_cap(node: ir.Node) -> _Logits | None:
    """cap * Tanh(logits / cap)."""
    for a, b in pairs(node):
        cap, tanh = scalar(b), made_by(a, "Tanh")
        if cap is None or tanh is None or cap <= 0:
            continue
        found = _logits(tanh.inputs[0])
        if found is None or found.terms or found.softcap:
            return None
        return replace(found, scale=found.scale * cap, softcap=cap)
    return None


_STEPS = {
    "Add": _of_sum,
    "Sub": _of_difference,
    "Mul": _of_product,
    "Div": _of_quotient,
    "Where": _of_choice,
    "Max": _of_bound,
}


def _with_term(
    found: _Logits, value: ir.Value, node: ir.Node, factor: float, *, keep: bool, negated: bool = False
) -> _Logits | None:
    """The logits with one more term, added by `node` or chosen by it."""
    out = shape_of(node.outputs[0])
    if out[-2:] != found.shape[-2:] or math.prod(out) != math.prod(found.shape):
        return None
    array = constant(value)
    if negated:
        if array is None:
            return None if (plain := _not_of(value)) is None else _with_term(found, plain, node, factor, keep=True)
        array, keep = ~array.astype(bool), True
    source = view_of(value) if array is None else array
    return replace(found, terms=(*found.terms, Term(source, keep, factor)), leads=(*found.leads, out[:-2]))


def _not_of(value: ir.Value) -> ir.Value | None:
    """The opposite of computed truth values, where the model has it."""
    node = made_by(value, "Not")
    return None if node is None else node.inputs[0]


# --- the node -----------------------------------------------------------------------------------------


def _attention(new: Nodes, found: _Logits, values: View, out: tuple[int, ...], turned: bool) -> ir.Value | None:
    """The result of the old product, of shape `out`."""
    q, q_scale = _peeled(found.q)
    keys, k_scale = _peeled(found.keys)
    queries, total = found.shape[-2:]
    lead = found.shape[:-2]
    q = q.expand((*lead, queries, q.shape[-1]))
    k = _swapped(keys)
    k = k.expand((*lead, total, k.shape[-1]))
    heads = _heads(q, k, lead)
    leading = out[:-2]
    values = values.expand((*leading, total, values.shape[-1]))
    four = [x.reshape((*heads, *x.shape[-2:])) for x in (q, k, values)]
    terms = [t.regrouped(at, heads) for t, at in zip(found.terms, found.leads, strict=True)]
    if any(x is None for x in (*four, *terms)) or math.prod(leading) != math.prod(heads):
        return None
    q4, k4, v4 = (x for x in four if x is not None)
    if found.factors is not None:
        multiplied = _multiplied(new, q4, found.factors, lead)
        if multiplied is None:
            return None
        q4 = multiplied
    given = Operands(q4, k4, v4, found.scale * q_scale * k_scale, [t for t in terms if t is not None], found.softcap)
    past = past_of(given.k, given.v)
    if past is not None:
        given = replace(given, k=past.k, v=past.v, past=past.values, returned=past.returned)
    else:
        given = replace(given, k=joined_rows(new, given.k), v=joined_rows(new, given.v))
    results = build(new, given)
    if results is None:
        return None
    if past is not None and past.returned:
        past.replace(results[1:])
    y = results[0]
    four_axes = View.whole(y).reshape((heads[0], queries, heads[1], v4.shape[3]))
    assert four_axes is not None
    view = four_axes.transpose((0, 2, 3, 1) if turned else (0, 2, 1, 3)).reshape(out)
    return None if view is None else emit(new, view)


def _multiplied(new: Nodes, q: View, factors: NDArray[np.generic], lead: tuple[int, ...]) -> View | None:
    """Queries times a constant per head."""
    batch, heads, queries, d = q.shape
    packed = q.transpose((0, 2, 1, 3)).reshape((batch, queries, heads * d))
    source = None if packed is None else emit(new, packed)
    each = np.broadcast_to(factors[..., 0, 0], lead).reshape(batch, heads)
    if source is None or (each != each[:1]).any():
        return None
    row = new.constant(np.repeat(each[0], d).astype(np.float32))
    y = new.add("Mul", [source, row], (batch, queries, heads * d))
    split = View.whole(y).reshape((batch, queries, heads, d))
    return None if split is None else split.transpose((0, 2, 1, 3))


def _peeled(value: ir.Value) -> tuple[View, float]:
    """A factor of the attention without the constants it is multiplied by, and their product."""
    view, scale = view_of(value), 1.0
    while True:
        root = uncast(view.root)
        assert root is not None
        source, factor = _product(root)
        if source is None or shape_of(source) != shape_of(root):
            return (view, scale) if root is view.root else (View(root, view.offset, view.axes), scale)
        below, scale = view_of(source), scale * factor
        moved = _over(view, below)
        view = View(source, view.offset, view.axes) if moved is None else moved


def _product(value: ir.Value) -> tuple[ir.Value | None, float]:
    node = made_by(value, "Mul", "Div")
    for a, b in pairs(node):
        factor = scalar(b)
        if factor and is_op(node, "Mul"):
            return a, factor
        if factor and b is operands(node)[1]:
            return a, 1 / factor
    return None, 1.0


def _over(outer: View, inner: View) -> View | None:
    """`outer`, a view of what `inner` is, as a view of the root of `inner`; None where it is no simple one."""
    if inner.is_whole:
        return View(inner.root, outer.offset, outer.axes)
    if not outer.is_whole:
        return None
    return inner.reshape(outer.shape)


def _heads(q: View, k: View, lead: tuple[int, ...]) -> tuple[int, int]:
    """Leading axes as (batch, heads): where there is one, what lies outside of the sequence in memory is batch."""
    if len(lead) > 1:
        return lead[0], math.prod(lead[1:])
    count = math.prod(lead)
    batches = []
    for view in (q, k):
        atoms = view.axes[0] if lead else ()
        outside = max((s for _, s in view.axes[-2]), default=0)
        batches.append(math.prod(n for n, s in atoms if s > outside))
    batch = min(batches)
    return (batch, count // batch) if count % batch == 0 else (1, count)
