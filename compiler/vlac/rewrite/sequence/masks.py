"""What is added to the logits of an attention, as one mask: causal, constant, and what depends on the input.

A term is a value that is added, or a choice that keeps or masks; each is taken apart as far as it is And, Expand, a
choice between 0 and "never", and joined again: what is constant is computed, a causal pattern becomes `is_causal`, the
rest is one mask of the least size (a row where no query differs), expanded to queries x keys as ONNX Runtime wants it.

"Never" is -1e4 and below, where exp is 0 beside any logit of a network. A row with every key masked is 0 after it;
frameworks give 0, NaN or the mean there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.mask_structure import NEVER
from vlac.model.reading import constant, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.emit import emit
from vlac.rewrite.sequence.match import made_by, operands, scalar
from vlac.rewrite.sequence.views import View, is_move, view_of

__all__ = ["Mask", "Term", "join"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Term:
    """One part of a mask.

    Attributes:
        source: a constant, or a view that has the axes of the logits or fewer.
        keep: it says which logits stay (truth values); else it is added.
        factor: what it is multiplied by before it is added.
    """

    source: NDArray[np.generic] | View
    keep: bool
    factor: float = 1.0

    @property
    def shape(self) -> Shape:
        """Of the source."""
        return self.source.shape

    def regrouped(self, lead: Shape, heads: Shape) -> Term | None:
        """With leading axes `lead`, of the logits where it is added, as (batch, heads); None where a seam forbids."""
        sizes = (1,) * (len(lead) + 2 - len(self.shape)) + self.shape
        return self._reshaped(sizes, lead, (*_grouped(sizes[:-2], lead, heads), *sizes[-2:]))

    def _reshaped(self, sizes: Shape, lead: Shape, wanted: Shape) -> Term | None:
        source = self.source
        if isinstance(source, View):
            view: View | None = source.reshape(sizes)
            if view is not None and math.prod(sizes) != math.prod(wanted):
                view = view.expand((*lead, *sizes[-2:]))
            view = None if view is None else view.reshape(wanted)
            return None if view is None else Term(view, self.keep, self.factor)
        array = source.reshape(sizes)
        if array.size != math.prod(wanted):
            array = np.broadcast_to(array, (*lead, *sizes[-2:]))
        return Term(array.reshape(wanted), self.keep, self.factor)


def _grouped(sizes: Shape, lead: Shape, heads: Shape) -> Shape:
    """Leading sizes of a term as (batch, heads): 1 where it is 1 over the whole group."""
    if math.prod(sizes) == 1:
        return (1, 1)
    for seam in range(len(lead) + 1):
        if math.prod(lead[:seam]) == heads[0]:
            groups = (sizes[:seam], sizes[seam:])
            return tuple(1 if math.prod(g) == 1 else n for g, n in zip(groups, heads, strict=True))
    return heads


@dataclass(frozen=True)
class Mask:
    """A mask of an attention: `attn_mask` as ONNX's Attention takes it, or None, and `is_causal`."""

    value: ir.Value | None
    causal: bool


def join(new: Nodes, terms: list[Term], shape: Shape, past: int) -> Mask | None:
    """One mask of terms over logits [batch, heads, queries, keys]; None where a term does not fit.

    Args:
        past: keys in front of those that `is_causal` begins to count at.
    """
    split = [_unexpanded(part) for term in terms for part in _parts(term)]
    fixed = [t for t in split if not isinstance(t.source, View)]
    computed = [t for t in split if isinstance(t.source, View)]
    sum_of_fixed = np.zeros((1, 1, 1, 1))
    for term in fixed:
        sum_of_fixed = sum_of_fixed + _additive(term)
    if not computed and _never_everywhere(sum_of_fixed):
        return None
    causal = _is_causal(sum_of_fixed, shape, past)
    if causal:
        sum_of_fixed = np.where(sum_of_fixed <= NEVER, 0.0, sum_of_fixed)
    value = _computed_sum(new, computed)
    if computed and value is None:
        return None
    if sum_of_fixed.any():
        array = np.where(sum_of_fixed <= NEVER, -np.inf, sum_of_fixed).astype(np.float32)
        given = new.constant(array)
        value = given if value is None else _binary(new, "Add", _floats(new, value), given)
    if value is None:
        return Mask(None, causal)
    wanted = (*shape_of(value)[:2], *shape[2:])
    return Mask(emit(new, View.whole(value).expand(wanted)), causal)


def _never_everywhere(mask: NDArray[np.float64]) -> bool:
    """Whether a row has no key left."""
    return bool((mask <= NEVER).all(axis=-1).any())


def _is_causal(mask: NDArray[np.float64], shape: Shape, past: int) -> bool:
    """Whether exactly the keys behind each query are masked, in every head."""
    never = np.broadcast_to(mask <= NEVER, shape)
    queries, keys = shape[2:]
    return bool((never == ~np.tri(queries, keys, past, dtype=bool)).all()) and keys > 1 + past


def _additive(term: Term) -> NDArray[np.float64]:
    assert not isinstance(term.source, View)
    if term.keep:
        return np.where(term.source, 0.0, -np.inf)
    with np.errstate(over="ignore"):
        return term.source.astype(np.float64) * term.factor


def _computed_sum(new: Nodes, terms: list[Term]) -> ir.Value | None:
    """Computed terms as one value: truth values where all are, else what is added."""
    keep: ir.Value | None = None
    added: ir.Value | None = None
    for term in terms:
        assert isinstance(term.source, View)
        value = emit(new, term.source)
        if value is None:
            return None
        if term.keep:
            keep = value if keep is None else _binary(new, "And", keep, value)
            continue
        if term.factor != 1:
            factor = new.constant(np.float32(term.factor))
            value = new.add("Mul", [value, factor], shape_of(value), dtype=value.dtype)
        added = value if added is None else _binary(new, "Add", added, value)
    if added is None or keep is None:
        return added if keep is None else keep
    return _binary(new, "Add", added, _floats(new, keep))


def _floats(new: Nodes, mask: ir.Value) -> ir.Value:
    """A mask of truth values as one that is added."""
    if mask.dtype != ir.DataType.BOOL:
        return mask
    choice = [mask, new.constant(np.float32(0)), new.constant(np.float32(-np.inf))]
    return new.add("Where", choice, shape_of(mask), dtype=ir.DataType.FLOAT)


def _binary(new: Nodes, op: str, a: ir.Value, b: ir.Value) -> ir.Value:
    return new.add(op, [a, b], np.broadcast_shapes(shape_of(a), shape_of(b)), dtype=a.dtype)


def _unexpanded(term: Term) -> Term:
    """A computed term with size 1 along the axes that it is the same along."""
    view = term.source
    if not isinstance(view, View):
        return term
    axes = tuple(() if all(not stride for _, stride in axis) else axis for axis in view.axes)
    return Term(View(view.root, view.offset, axes), term.keep, term.factor)


# --- taking a term apart ------------------------------------------------------------------------------


def _parts(term: Term) -> list[Term]:
    """The terms that a computed one is made of, itself at least."""
    view = term.source
    if not isinstance(view, View):
        return [term]
    array = constant(view.root)
    if array is not None:
        return [Term(_selected(array, view), term.keep, term.factor)]
    node = view.root.producer()
    if node is None or is_move(node):
        return [term]
    found = _kept_parts(node) if term.keep else _added_parts(node, term.factor)
    if found is None:
        return [term]
    through = [_seen_through(part, view) for part in found]
    if any(part is None for part in through):
        return [term]
    return [p for part in through if part is not None for p in _parts(part)]


def _kept_parts(node: ir.Node) -> list[Term] | None:
    """What truth values are the And of."""
    if made_by(node.outputs[0], "And"):
        return [_term(v, keep=True) for v in operands(node)]
    return None


def _added_parts(node: ir.Node, factor: float) -> list[Term] | None:
    """What is added, as a choice or a sum."""
    if made_by(node.outputs[0], "Add"):
        return [_term(v, keep=False, factor=factor) for v in operands(node)]
    if made_by(node.outputs[0], "Where") and factor > 0:
        condition, kept, other = node.inputs
        never = scalar(other)
        if condition is not None and kept is not None and never is not None and never * factor <= NEVER:
            rest = [] if scalar(kept) == 0 else [_term(kept, keep=False, factor=factor)]
            return [_term(condition, keep=True), *rest]
    return None


def _term(value: ir.Value, *, keep: bool, factor: float = 1.0) -> Term:
    array = constant(value)
    return Term(view_of(value) if array is None else array, keep, factor)


def _seen_through(part: Term, view: View) -> Term | None:
    """A part of the root of `view`, with the moves of the view behind it; None where they do not fit it."""
    whole = shape_of(view.root)
    if isinstance(part.source, View):
        return _moved_view(part, view, whole)
    return Term(_selected(np.broadcast_to(part.source, whole), view), part.keep, part.factor)


def _moved_view(part: Term, view: View, whole: Shape) -> Term | None:
    """For views that only add axes and expand: the part's own sizes are kept."""
    assert isinstance(part.source, View)
    root = View.whole(view.root)
    if view.axes == root.axes:
        return part
    kept = tuple(axis for axis in view.axes if axis and axis[0][1])
    if kept != tuple(axis for axis in root.axes if axis) or view.offset:
        return None
    sizes = (1,) * (len(whole) - len(part.shape)) + part.shape
    inner = iter([n for n, axis in zip(sizes, root.axes, strict=True) if axis])
    wanted = [next(inner) if axis and axis[0][1] else 1 for axis in view.axes]
    moved = part.source.reshape(wanted)
    return None if moved is None else Term(moved, part.keep, part.factor)


def _selected(array: NDArray[np.generic], view: View) -> NDArray[np.generic]:
    """The elements of a view, the axes along which it is constant at size 1."""
    index = np.full((1,) * len(view.axes), view.offset)
    for number, axis in enumerate(view.axes):
        along = np.zeros(1, np.int64)
        for size, stride in axis:
            along = (along[:, None] + np.arange(size) * stride).reshape(-1)
        if along.any():
            index = index + along.reshape([-1 if i == number else 1 for i in range(len(view.axes))])
    return np.asarray(array.reshape(-1)[index])
