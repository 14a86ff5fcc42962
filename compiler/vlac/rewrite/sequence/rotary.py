"""Rotary position embeddings become RotaryEmbedding nodes of packed heads [B, S, H*D] and angles [B, S, R/2].

matches, with the halves of a head or its even and odd channels as the two parts of a pair:
    x * cos + rotated(x) * sin, where rotated is Concat(-second, first), and cos and sin say each number twice
    Concat or stack of (first * cos - second * sin, second * cos + first * sin)
    either over the first R channels of a head, with the others behind it (partial)
    ONNX's own RotaryEmbedding, with heads as an axis or position numbers
Cosines may be constants or computed (from position numbers). Not matched: cosines that differ in the two parts of a
pair or between heads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from vlac.model.reading import attribute, constant, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.angles import Angles, angles_of
from vlac.rewrite.sequence.emit import emit
from vlac.rewrite.sequence.match import is_op, made_by, operands, pairs
from vlac.rewrite.sequence.views import View, view_of

__all__ = ["recover_rotations"]

Shape = tuple[int, ...]


def recover_rotations(model: ir.Model) -> None:
    """Rewrite every such rotation of a float model, in place; of nested ones the outermost."""
    for node in reversed(list(model.graph)):
        if node.graph is not model.graph or (not node.outputs[0].consumers() and not node.outputs[0].is_graph_output()):
            continue
        if is_op(node, "RotaryEmbedding"):
            _pack(model.graph, node)
        elif is_op(node, "Concat", "Add"):
            found = _partial(node) or _rotation(node.outputs[0])
            if found is not None:
                _replace(model.graph, node, found)


@dataclass(frozen=True)
class _Rotation:
    """x [..., channels of a head], and angles of its first `rotated` channels."""

    x: View
    cos: ir.Value
    sin: ir.Value
    rotated: int
    interleaved: bool
    doubled: bool  # the angles say each number twice


def _rotation(value: ir.Value) -> _Rotation | None:
    """What a value is the rotation of."""
    node = made_by(value, "Add")
    if node is not None:
        return _of_sum(node)
    node = value.producer()
    return None if node is None or not is_op(node, "Concat") else _of_parts(node)


def _of_sum(node: ir.Node) -> _Rotation | None:
    for first, second in pairs(node):
        for x, cos in pairs(made_by(first, "Mul")):
            for turned, sin in pairs(made_by(second, "Mul")):
                interleaved = _is_rotated(turned, view_of(x))
                if interleaved is not None and shape_of(x) == shape_of(node.outputs[0]):
                    return _Rotation(view_of(x), cos, sin, shape_of(x)[-1], interleaved, True)
    return None


def _is_rotated(value: ir.Value, x: View) -> bool | None:
    """Whether a value is Concat(-second, first) of x's channels: False by halves, True by pairs, None if neither."""
    view = view_of(value)
    node = made_by(view.root, "Concat") if view.is_whole else None
    for parts, shape, interleaved in () if node is None else _parts(node):
        if shape[-1] != x.shape[-1]:
            continue
        first, second = _pair(x, interleaved)
        negative = made_by(_whole(parts[0]), "Neg")
        if negative is None or first is None or second is None or negative.inputs[0] is None:
            continue
        if _same(view_of(negative.inputs[0]), second) and _same(view_of(parts[1]), first):
            return interleaved
    return None


def _parts(node: ir.Node) -> Iterator[tuple[list[ir.Value], Shape, bool]]:
    """The two parts that a Concat joins, the shape of whole channels, and whether they come in turns or by halves."""
    joined = shape_of(node.outputs[0])
    inputs = [v for v in node.inputs if v is not None]
    if len(inputs) != 2 or len(joined) < 2:
        return
    axis = attribute(node, "axis", 0) % len(joined)
    stacked = (*joined[:-2], 2 * max(joined[-2:]))
    if axis == len(joined) - 1 and joined[-1] % 2 == 0:
        yield inputs, joined, False
    if axis == len(joined) - 1 and joined[-1] == 2:
        yield inputs, stacked, True
    if axis == len(joined) - 2 and joined[-2] == 2:
        yield inputs, stacked, False


def _pair(x: View, interleaved: bool) -> tuple[View | None, View | None]:
    """The first and second parts of the pairs of channels."""
    last, size = len(x.axes) - 1, x.shape[-1]
    if size % 2:
        return None, None
    first, second = (
        (slice(0, None, 2), slice(1, None, 2)) if interleaved else (slice(size // 2), slice(size // 2, None))
    )
    channels = np.arange(size)
    return x.pick(last, channels[first]), x.pick(last, channels[second])


def _same(a: View, b: View) -> bool:
    """Whether two views select the same elements in the same order, whatever axes of size 1 there are."""
    shape = tuple(n for n in b.shape if n > 1)
    a_plain, b_plain = a.reshape(shape), b.reshape(shape)
    return a.root is b.root and a.offset == b.offset and a_plain is not None and a_plain == b_plain


def _of_parts(node: ir.Node) -> _Rotation | None:
    """Concat(first * cos - second * sin, second * cos + first * sin)."""
    for parts, shape, interleaved in _parts(node):
        minus, plus = made_by(_whole(parts[0]), "Sub"), made_by(_whole(parts[1]), "Add")
        for first, second, cos, sin in () if minus is None or plus is None else _products(minus, plus):
            x = _joined(first, second, shape, interleaved)
            if x is not None:
                return _Rotation(x, cos, sin, x.shape[-1], interleaved, False)
    return None


def _products(minus: ir.Node, plus: ir.Node) -> Iterator[tuple[ir.Value, ir.Value, ir.Value, ir.Value]]:
    """first, second, cos and sin of first * cos - second * sin and second * cos + first * sin."""
    left, right = (made_by(v, "Mul") for v in operands(minus))
    for first, cos in pairs(left):
        for second, sin in pairs(right):
            for a, b in pairs(plus):
                one, other = made_by(a, "Mul"), made_by(b, "Mul")
                if one is None or other is None or constant(first) is not None or constant(second) is not None:
                    continue
                if {*operands(one)} == {second, cos} and {*operands(other)} == {first, sin}:
                    yield first, second, cos, sin


def _joined(first: ir.Value, second: ir.Value, shape: tuple[int, ...], interleaved: bool) -> View | None:
    """The view whose pairs of channels are these two."""
    a, b = view_of(first), view_of(second)
    channels = a.axes[-1] if a.shape[-1] > 1 else a.axes[-2]
    if a.root is not b.root or not channels:
        return None
    step = channels[-1][1]
    half = a.shape[-1] if a.shape[-1] > 1 else a.shape[-2]
    axis: tuple[tuple[int, int], ...]
    axis = ((half, step), (2, b.offset - a.offset)) if interleaved else ((2, b.offset - a.offset), (half, step))
    lead = a.axes[: len(shape) - 1]
    x = View(a.root, a.offset, (*lead, axis))
    if x.shape != shape:
        return None
    merged = x.reshape(shape)
    found = None if merged is None else _pair(merged, interleaved)
    if merged is None or found is None or found[0] is None or found[1] is None:
        return None
    return merged if _same(a, found[0]) and _same(b, found[1]) else None


def _whole(value: ir.Value) -> ir.Value:
    view = view_of(value)
    return view.root if view.is_whole else value


def _partial(node: ir.Node) -> _Rotation | None:
    """Concat(rotation of the first channels, the others)."""
    if not is_op(node, "Concat") or len(node.inputs) != 2:
        return None
    turned, rest = operands(node)
    if attribute(node, "axis", 0) % len(shape_of(turned)) != len(shape_of(turned)) - 1:
        return None
    found = _rotation(_whole(turned))
    if found is None or found.x.shape != shape_of(turned):
        return None
    others = view_of(rest)
    x = found.x
    if others.root is not x.root or x.axes[:-1] != others.axes[:-1] or not x.axes[-1] or not others.axes[-1]:
        return None
    step, count = x.axes[-1][-1][1], x.shape[-1] + others.shape[-1]
    whole = View(x.root, x.offset, (*x.axes[:-1], ((count, step),)))
    split = [whole.pick(len(x.axes) - 1, np.arange(count)[s]) for s in (slice(x.shape[-1]), slice(x.shape[-1], None))]
    if split != [x, others]:
        return None
    return _Rotation(whole, found.cos, found.sin, found.rotated, found.interleaved, found.doubled)


# --- the node -----------------------------------------------------------------------------------------


def _replace(graph: ir.Graph, node: ir.Node, found: _Rotation) -> None:
    with Nodes(graph, node) as new:
        angles = angles_of(new, found.cos, found.sin, found.x.shape, found.rotated, found.interleaved, found.doubled)
        if angles is None:
            return
        y = _rotated(new, found.x, angles, found.rotated, found.interleaved)
        back = None if y is None else View.whole(y).reshape(shape_of(node.outputs[0]))
        result = None if back is None else emit(new, back)
        if result is not None:
            new.replace(result)


def _rotated(new: Nodes, x: View, angles: Angles, rotated: int, interleaved: bool) -> ir.Value | None:
    """The rotation of x by a node of packed heads, in the axes of x."""
    shape, at = x.shape, angles.axis
    heads = [i for i in range(1, len(shape) - 1) if i != at]
    order = [0, at, *heads, len(shape) - 1] if at else [at, *heads, len(shape) - 1]
    moved = x.transpose(order)
    batch, length = (shape[0], shape[at]) if at else (1, shape[at])
    count = int(np.prod([shape[i] for i in heads], dtype=np.int64))
    packed = moved.reshape((batch, length, count * shape[-1]))
    source = None if packed is None else emit(new, packed)
    if source is None:
        return None
    attributes = {"num_heads": count, "interleaved": int(interleaved)}
    if rotated < shape[-1]:
        attributes["rotary_embedding_dim"] = rotated
    y = new.add("RotaryEmbedding", [source, angles.cos, angles.sin], shape_of(source), attributes)
    split = View.whole(y).reshape([shape[i] for i in order])
    assert split is not None
    return emit(new, split.transpose([int(i) for i in np.argsort(order)]))


def _pack(graph: ir.Graph, node: ir.Node) -> None:
    """ONNX's own node in the same form."""
    x, cos, sin, *positions = node.inputs
    assert x is not None and cos is not None and sin is not None
    if len(shape_of(x)) == 3 and not positions:
        return
    with Nodes(graph, node) as new:
        if positions and positions[0] is not None:
            shape = (*shape_of(positions[0]), shape_of(cos)[1])
            cos, sin = (new.add("Gather", [v, positions[0]], shape, {"axis": 0}, v.dtype) for v in (cos, sin))
        view, heads = view_of(x), attribute(node, "num_heads", 0)
        if len(view.axes) == 3:
            batch, length, channels = view.shape
            split = view.reshape((batch, length, heads, channels // heads)) if heads else None
            if split is None:
                return
            view = split.transpose((0, 2, 1, 3))
        rotated = attribute(node, "rotary_embedding_dim", 0) or view.shape[-1]
        y = _rotated(new, view, Angles(cos, sin, 2), rotated, bool(attribute(node, "interleaved", 0)))
        if y is None:
            return
        if len(shape_of(x)) == 3:
            back = View.whole(y).transpose((0, 2, 1, 3)).reshape(shape_of(x))
            assert back is not None
            made = emit(new, back)
            assert made is not None
            y = made
        new.replace(y)
