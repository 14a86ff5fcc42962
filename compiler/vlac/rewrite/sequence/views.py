"""What Reshape, Transpose, Slice, Expand and their relatives make of a value, as one strided view of its source.

Exporters write the heads of attention in many chains of such nodes; as views they are equal. A view lists, for each
axis, atoms (size, stride) from the outermost in, over the row-major elements of its source. An expanded axis has
stride 0. Not here: views that no strides describe (a Reshape across a Transpose's seam): there the chain ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.reading import attribute, constant_input, shape_of

__all__ = ["Atom", "View", "is_move", "view_of"]

Atom = tuple[int, int]
Axis = tuple[Atom, ...]


@dataclass(frozen=True)
class View:
    """Elements of `root`, the first at `offset`; an axis of size 1 has no atoms."""

    root: ir.Value
    offset: int
    axes: tuple[Axis, ...]

    @staticmethod
    def whole(value: ir.Value) -> View:
        """A value as it is."""
        shape = shape_of(value)
        strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
        return View(value, 0, tuple(((n, s),) if n > 1 else () for n, s in zip(shape, strides, strict=True)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return tuple(_size(axis) for axis in self.axes)

    @property
    def positions(self) -> NDArray[np.int64]:
        """The flat number in the source of each element, in the view's shape."""
        steps = []
        for axis in self.axes:
            step = np.zeros(1, np.int64)
            for size, stride in axis:
                step = (step[:, None] + np.arange(size) * stride).reshape(-1)
            steps.append(step)
        return np.asarray(self.offset + sum(np.ix_(*steps), np.zeros(self.shape, np.int64)))

    @property
    def is_whole(self) -> bool:
        """Whether it has all elements of the source in their order: a Reshape at most."""
        size = math.prod(shape_of(self.root))
        atoms = _merged([a for axis in self.axes for a in axis])
        return self.offset == 0 and atoms == ([(size, 1)] if size > 1 else [])

    def transpose(self, order: Sequence[int]) -> View:
        """Axes in another order."""
        return View(self.root, self.offset, tuple(self.axes[i] for i in order))

    def reshape(self, shape: Sequence[int]) -> View | None:
        """Other axes over the same order of elements; None where an axis would cross a seam."""
        left = _merged([a for axis in self.axes for a in axis])
        axes: list[Axis] = []
        for wanted in reversed(shape):
            taken: list[Atom] = []
            while wanted > 1:
                if not left:
                    return None
                size, stride = left.pop()
                inner = math.gcd(size, wanted)
                if inner not in (size, wanted):
                    return None
                if inner < size:
                    left.append((size // inner, stride * inner))
                taken.insert(0, (inner, stride))
                wanted //= inner
            axes.insert(0, tuple(_merged(taken)))
        return None if left else View(self.root, self.offset, tuple(axes))

    def expand(self, shape: Sequence[int]) -> View:
        """Broadcast to a shape, as ONNX's Expand does."""
        own = (1,) * max(len(shape) - len(self.axes), 0) + self.shape
        shape = np.broadcast_shapes(own, tuple(shape))
        axes = ((),) * (len(shape) - len(self.axes)) + self.axes
        return View(
            self.root,
            self.offset,
            tuple(((n, 0),) if n > 1 and not axis else axis for axis, n in zip(axes, shape, strict=True)),
        )

    def pick(self, axis: int, index: NDArray[np.int64]) -> View | None:
        """Elements of one axis by constant indices; None where they are no nest of equal steps."""
        atoms = _merged(list(self.axes[axis]))
        if len(atoms) > 1:
            return self._pick_outer(axis, index)
        stride = atoms[0][1] if atoms else 0
        steps = _steps(index)
        if steps is None:
            return None
        picked = tuple(_merged([(n, step * stride) for n, step in steps]))
        return self._with(axis, picked, self.offset + int(index[0]) * stride)

    def _pick_outer(self, axis: int, index: NDArray[np.int64]) -> View | None:
        """A run of whole blocks of an axis of several atoms, where its outermost atom counts blocks."""
        (_, stride), *inner = self.axes[axis]
        block = _size(tuple(inner))
        first, count = int(index[0]), len(index)
        if first % block or count % block or not np.array_equal(index, np.arange(first, first + count)):
            return None
        outer = ((count // block, stride),) if count > block else ()
        return self._with(axis, (*outer, *inner), self.offset + first // block * stride)

    def _with(self, axis: int, atoms: Axis, offset: int) -> View:
        return View(self.root, offset, (*self.axes[:axis], atoms, *self.axes[axis + 1 :]))


def _size(axis: Axis) -> int:
    return math.prod(size for size, _ in axis)


def _merged(atoms: list[Atom]) -> list[Atom]:
    """Neighbours that count on as one."""
    found: list[Atom] = []
    for size, stride in atoms:
        if size == 1:
            continue
        if found and found[-1][1] == size * stride:
            found[-1] = (found[-1][0] * size, stride)
        else:
            found.append((size, stride))
    return found


def _steps(index: NDArray[np.int64]) -> list[Atom] | None:
    """Indices less their first as nested atoms (count, step), the outermost first."""
    index = index - index[0]
    if len(index) == 1:
        return []
    step = int(index[1])
    run = 1
    while run < len(index) and index[run] == run * step:
        run += 1
    if step < 0 or len(index) % run:
        return None
    rows = index.reshape(-1, run)
    if not np.array_equal(rows, rows[:, :1] + np.arange(run) * step):
        return None
    outer = _steps(rows[:, 0])
    return None if outer is None else [*outer, (run, step)]


# --- nodes as views -----------------------------------------------------------------------------------


def _reshaped(node: ir.Node, view: View) -> View | None:
    return view.reshape(shape_of(node.outputs[0]))


def _transposed(node: ir.Node, view: View) -> View | None:
    return view.transpose(attribute(node, "perm", None) or range(len(view.axes))[::-1])


def _expanded(node: ir.Node, view: View) -> View | None:
    return view.expand(shape_of(node.outputs[0]))


def _tiled(node: ir.Node, view: View) -> View | None:
    repeats = constant_input(node, 1)
    if repeats is None:
        return None
    axes = tuple(((int(n), 0), *axis) if n > 1 else axis for n, axis in zip(repeats, view.axes, strict=True))
    return View(view.root, view.offset, axes)


def _sliced(node: ir.Node, view: View) -> View | None:
    arrays = [constant_input(node, i) for i in range(1, len(node.inputs))]
    if len(arrays) < 2 or any(a is None and node.inputs[i + 1] is not None for i, a in enumerate(arrays)):
        return None
    starts, ends = arrays[0], arrays[1]
    assert starts is not None and ends is not None
    axes = arrays[2] if len(arrays) > 2 and arrays[2] is not None else np.arange(len(starts))
    steps = arrays[3] if len(arrays) > 3 and arrays[3] is not None else np.ones(len(starts), np.int64)
    found: View | None = view
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if found is None:
            return None
        at = int(axis) % len(view.axes)
        index = np.arange(found.shape[at])[slice(int(start), _end(int(end), int(step)), int(step))]
        found = found.pick(at, index) if len(index) else None
    return found


def _end(end: int, step: int) -> int | None:
    """The end of a Slice, which says "to the first element" by a number below all indices."""
    return None if step < 0 and end < -(1 << 30) else end


def _gathered(node: ir.Node, view: View) -> View | None:
    index = constant_input(node, 1)
    if index is None or not view.axes:
        return None
    axis = attribute(node, "axis", 0) % len(view.axes)
    found = view.pick(axis, np.where(index < 0, index + view.shape[axis], index).reshape(-1).astype(np.int64))
    return None if found is None else found.reshape(shape_of(node.outputs[0]))


_MOVES: dict[str, Callable[[ir.Node, View], View | None]] = {
    "Reshape": _reshaped,
    "Flatten": _reshaped,
    "Squeeze": _reshaped,
    "Unsqueeze": _reshaped,
    "Identity": _reshaped,
    "Transpose": _transposed,
    "Expand": _expanded,
    "Slice": _sliced,
    "Tile": _tiled,
    "Gather": _gathered,
}


def is_move(node: ir.Node | None) -> bool:
    """Whether a node may be a view of its first input."""
    return node is not None and node.domain in ("", "ai.onnx") and (node.op_type in _MOVES or node.op_type == "Split")


def view_of(value: ir.Value) -> View:
    """The view that a value is of what the moves in front of it read, as far back as strides describe it."""
    node = value.producer()
    if node is None or not is_move(node) or node.inputs[0] is None or value.const_value is not None:
        return View.whole(value)
    if not _is_static(node.inputs[0]) or not _is_static(value):
        return View.whole(value)
    found = _applied(node, value, view_of(node.inputs[0]))
    if found is None:
        found = _applied(node, value, View.whole(node.inputs[0]))
    return View.whole(value) if found is None else found


def _applied(node: ir.Node, value: ir.Value, below: View) -> View | None:
    return _split(node, value, below) if node.op_type == "Split" else _MOVES[node.op_type](node, below)


def _split(node: ir.Node, value: ir.Value, view: View) -> View | None:
    axis = attribute(node, "axis", 0) % len(view.axes)
    first = 0
    for out in node.outputs:
        count = shape_of(out)[axis]
        if out is value:
            return view.pick(axis, np.arange(first, first + count))
        first += count
    return None


def _is_static(value: ir.Value) -> bool:
    return value.shape is not None and value.shape.is_static()
