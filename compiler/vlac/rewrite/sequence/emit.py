"""Nodes that make a view of a value: at most a Reshape, Slices, a Transpose, an Expand and a Reshape, in this order.

Not here: whether that is shorter than what was there (`collapse_moves.py`).
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from vlac.model.reading import shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.views import Atom, View

__all__ = ["emit"]


def emit(new: Nodes, view: View) -> ir.Value | None:
    """A value of the view's shape, made by nodes of `new`; None where Slices cannot cut the elements out.

    The source itself where nothing moves. Integers and truth values keep their dtype.
    """
    if view.is_whole:
        return _reshape(new, view.root, view.shape)
    cut = _Cut(view)
    if not cut.fits:
        return None
    value = _reshape(new, view.root, cut.blocks)
    for axis, (first, size) in enumerate(zip(cut.firsts, cut.sizes, strict=True)):
        if size < cut.blocks[axis]:
            value = _slice(new, value, axis, first, size)
    places = [cut.strides.index(stride) for _, stride in cut.wanted if stride]
    if places != sorted(places):
        rest = [i for i in range(len(cut.sizes)) if i not in places]  # of one element
        order, shape = [*rest, *places], shape_of(value)
        value = new.add("Transpose", [value], [shape[i] for i in order], {"perm": order}, view.root.dtype)
    if all(stride for _, stride in cut.wanted):
        return _reshape(new, value, view.shape)
    expanded = [[not stride for _, stride in axis] for axis in view.axes]
    if all(all(axis) or not any(axis) for axis in expanded):
        sizes = [1 if any(axis) else n for axis, n in zip(expanded, view.shape, strict=True)]
        return _expand(new, _reshape(new, value, sizes), view.shape)
    value = _reshape(new, value, [n if stride else 1 for n, stride in cut.wanted])
    return _reshape(new, _expand(new, value, [n for n, _ in cut.wanted]), view.shape)


class _Cut:
    """A source as blocks, one axis for each stride of the view: of each the first elements' place and their number.

    Attributes:
        wanted: the view's atoms in its own order.
        fits: whether blocks describe it.
    """

    def __init__(self, view: View) -> None:
        shape = shape_of(view.root)
        seams = [math.prod(shape[i:]) for i in range(1, len(shape) + 1)]
        self.wanted: list[Atom] = [part for axis in view.axes for atom in axis for part in _split(atom, seams)]
        used = {stride: size for size, stride in self.wanted if stride}
        total = math.prod(shape)
        self.fits = len(used) == sum(stride > 0 for _, stride in self.wanted)
        self.strides = sorted({*used, *(s for s in seams if s < total), 1}, reverse=True)
        self.blocks: list[int] = []
        self.firsts: list[int] = []
        self.sizes: list[int] = []
        above, offset = total, view.offset
        for stride in self.strides:
            block, size = above // stride, used.get(stride, 1)
            first, offset = divmod(offset, stride)
            self.fits = self.fits and above % stride == 0 and first + size <= block
            self.blocks.append(block)
            self.firsts.append(first)
            self.sizes.append(size)
            above = stride
        self._keep_axes(shape)

    def _keep_axes(self, shape: tuple[int, ...]) -> None:
        """Count axes of one element as the source does, where that spares a Reshape."""
        blocks = [i for i, n in enumerate(self.blocks) if n > 1]
        if [self.blocks[i] for i in blocks] != [n for n in shape if n > 1]:
            return
        rest = iter(blocks)
        axes = [next(rest) if n > 1 else -1 for n in shape]
        self.blocks, self.sizes = ([v[i] if i >= 0 else 1 for i in axes] for v in (self.blocks, self.sizes))
        self.firsts, self.strides = ([v[i] if i >= 0 else 0 for i in axes] for v in (self.firsts, self.strides))


def _split(atom: Atom, seams: list[int]) -> list[Atom]:
    """An atom as several where it crosses an axis of the source."""
    size, stride = atom
    for seam in seams:
        inner = seam // stride if stride else 0
        if stride and stride < seam < size * stride and seam % stride == 0 and size % inner == 0:
            return [(size // inner, seam), *_split((inner, stride), seams)]
    return [atom]


def _reshape(new: Nodes, value: ir.Value, shape: list[int] | tuple[int, ...]) -> ir.Value:
    if tuple(shape) == shape_of(value):
        return value
    target = new.constant(np.array(shape, np.int64))
    return new.add("Reshape", [value, target], shape, dtype=value.dtype)


def _expand(new: Nodes, value: ir.Value, shape: list[int] | tuple[int, ...]) -> ir.Value:
    return new.add("Expand", [value, new.constant(np.array(shape, np.int64))], shape, dtype=value.dtype)


def _slice(new: Nodes, value: ir.Value, axis: int, first: int, size: int) -> ir.Value:
    shape = list(shape_of(value))
    shape[axis] = size
    bounds = [new.constant(np.array([v], np.int64)) for v in (first, first + size, axis)]
    return new.add("Slice", [value, *bounds], shape, dtype=value.dtype)
