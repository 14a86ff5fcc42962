"""Cosines and sines of a rotation as RotaryEmbedding takes them, [batch, sequence, pairs of channels], said once.

Code that rotates by x * cos + rotated(x) * sin says each number twice, for both channels of a pair. That it is the
same number is proven: for constants by looking, for computed ones by how they were joined. Not here: what rotates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from vlac.model.reading import attribute, constant, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.emit import emit
from vlac.rewrite.sequence.match import is_op, scalar
from vlac.rewrite.sequence.views import View, view_of

__all__ = ["Angles", "angles_of"]

_UNARY = ("Cos", "Sin", "Cast", "Neg", "Identity")
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Angles:
    """`cos` and `sin` [batch, sequence, pairs]; `axis` of x is the sequence."""

    cos: ir.Value
    sin: ir.Value
    axis: int


def angles_of(
    new: Nodes, cos: ir.Value, sin: ir.Value, x: Shape, rotated: int, interleaved: bool, doubled: bool
) -> Angles | None:
    """Angles of a rotation of the first channels of x; None where they are no such angles.

    Args:
        doubled: cos and sin have `rotated` channels, else half as many.
    """
    axes = {_sequence_axis(shape_of(v), x) for v in (cos, sin)} - {None}
    if len(axes) != 1:
        return None
    axis = axes.pop()
    assert axis is not None
    found = []
    for value in (cos, sin):
        if shape_of(value)[-1:] != (rotated if doubled else rotated // 2,):
            return None
        half = _half(new, value, interleaved) if doubled else value
        made = None if half is None else _three(new, half, x, axis)
        if made is None:
            return None
        found.append(made)
    return Angles(found[0], found[1], axis)


def _sequence_axis(shape: Shape, x: Shape) -> int | None:
    """The axis of x along which angles differ; where its size is 1, one of size 1."""
    full = (1,) * (len(x) - len(shape)) + shape
    if len(full) != len(x) or len(x) < 2:
        return None
    rank = len(x)
    first = 1 if rank > 2 else 0
    inner = [i for i in range(first, rank - 1) if full[i] > 1]
    if len(inner) > 1 or any(full[i] not in (1, x[i]) for i in range(rank - 1)):
        return None
    if inner:
        return inner[0]
    ones = [i for i in range(rank - 2, first - 1, -1) if x[i] == 1]
    return ones[0] if ones else None


def _three(new: Nodes, value: ir.Value, x: Shape, axis: int) -> ir.Value | None:
    """[batch, sequence, pairs] of angles that broadcast over x."""
    shape = (1,) * (len(x) - len(shape_of(value))) + shape_of(value)
    batch = shape[0] if axis else 1
    view = View.whole(value).reshape((batch, shape[axis], shape[-1]))
    if view is None or shape[axis] != x[axis]:
        return None
    array = constant(value)
    wanted = (x[0] if axis else 1, x[axis], shape[-1])
    if array is not None:
        return new.constant(np.broadcast_to(array.reshape(view.shape), wanted).astype(np.float32))
    return emit(new, view.expand(wanted))


def _half(new: Nodes, value: ir.Value, interleaved: bool, depth: int = 8) -> ir.Value | None:
    """The numbers of one channel of each pair, where both have the same ones."""
    array = constant(value)
    if array is not None:
        size = array.shape[-1]
        parts = (
            (array[..., ::2], array[..., 1::2]) if interleaved else (array[..., : size // 2], array[..., size // 2 :])
        )
        return new.constant(np.ascontiguousarray(parts[0])) if np.array_equal(*parts) else None
    node = value.producer()
    if node is None or depth == 0:
        return None
    twice = _said_twice(new, value, interleaved)
    if twice is not None:
        return twice
    view = view_of(value)
    if view.root is not value:
        return _moved_half(new, view, interleaved, depth)
    return _computed_half(new, node, interleaved, depth)


def _said_twice(new: Nodes, value: ir.Value, interleaved: bool) -> ir.Value | None:
    """Concat of a value with itself along the channels, or channels expanded in pairs."""
    shape = shape_of(value)
    view = view_of(value)
    last = view.axes[-1]
    if len(last) == 2 and last[0 if not interleaved else 1] == (2, 0):
        kept = last[1:] if not interleaved else last[:1]
        return emit(new, View(view.root, view.offset, (*view.axes[:-1], kept)))
    node = view.root.producer()
    if node is None or not is_op(node, "Concat") or not view.is_whole or len(set(node.inputs)) != 1:
        return None
    joined, part = shape_of(view.root), node.inputs[0]
    axis = attribute(node, "axis", 0) % len(joined)
    halves = axis == len(joined) - 1 and joined[-1] == shape[-1] and len(node.inputs) == 2
    turns = axis == len(joined) - 1 and joined[-1] == 2 and joined[-2] * 2 == shape[-1]
    if part is None or not (turns if interleaved else halves):
        return None
    plain = View.whole(part).reshape((*shape[:-1], shape[-1] // 2))
    return None if plain is None else emit(new, plain)


def _moved_half(new: Nodes, view: View, interleaved: bool, depth: int) -> ir.Value | None:
    """Of moves that leave the channels what they are."""
    root = View.whole(view.root)
    if view.offset or not root.axes or view.axes[-1] != root.axes[-1] or not view.is_whole:
        return None
    half = _half(new, view.root, interleaved, depth - 1)
    plain = None if half is None else View.whole(half).reshape((*view.shape[:-1], view.shape[-1] // 2))
    return None if plain is None else emit(new, plain)


def _computed_half(new: Nodes, node: ir.Node, interleaved: bool, depth: int) -> ir.Value | None:
    """Of functions of each element, and of rows of a table."""
    source = node.inputs[0]
    if source is None:
        return None
    shape = shape_of(node.outputs[0])
    smaller = (*shape[:-1], shape[-1] // 2)
    if is_op(node, "Mul", "Div", "Add") and len(node.inputs) == 2:
        for i, other in enumerate(node.inputs[::-1]):
            if scalar(other) is not None:
                inputs = list(node.inputs)
                part = inputs[i]
                inputs[i] = None if part is None else _half(new, part, interleaved, depth - 1)
                return None if inputs[i] is None else new.add(node.op_type, inputs, smaller, dtype=source.dtype)
        return None
    if not is_op(node, *_UNARY, "Gather"):
        return None
    if is_op(node, "Gather") and attribute(node, "axis", 0) % len(shape_of(source)) == len(shape_of(source)) - 1:
        return None
    half = _half(new, source, interleaved, depth - 1)
    if half is None:
        return None
    attributes = {name: a.value for name, a in node.attributes.items()}
    return new.add(node.op_type, [half, *node.inputs[1:]], smaller, attributes, node.outputs[0].dtype)
