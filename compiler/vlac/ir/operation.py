"""Tensors of the device graph, and the base of the operations between them.

A tensor of any ONNX shape lies on the device as (h, w, c): an image [1, C, H, W] as it is, anything else with its
last axis as channels and the others as pixels of one row. A tensor with h = w = 1 is a *vector*.
Not here: the operations themselves (`device/`), the graph, which alone edits uses and producers (`ir/graph.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.integer import INT8, IntType
from vlac.ir.geometry import geometry, is_image

__all__ = ["Op", "Tensor"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class Tensor:
    """A tensor of integers: real = (q - zero_point) * scale, where q are the `stored` integers.

    Attributes:
        name: the quantized value's name in the QDQ model.
        label: the float value's name, as the user knows it.
        constant: integers of the ONNX shape, for an operand that is known at compile time.
        type: of the model's integers.
        producer, consumers: the operation that makes it and those that read it, once for each mention; only `Graph`
            changes them.
        lanes: for each channel position the logical channel stored there, -1 for padding; a vector's
            logical channel is its flat ONNX index. Set by `legalize/place`.
        parent, offset: this tensor lies inside `parent`, `offset` channel blocks from its start (words,
            where the parent is a vector and this is an image laid out row by row without gaps).
    """

    name: str
    label: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    constant: NDArray[np.int8] | None = field(default=None, repr=False)
    type: IntType = INT8
    producer: Op | None = field(default=None, repr=False)  # not shown: it would show the graph behind it
    consumers: list[Op] = field(default_factory=list, repr=False)
    lanes: I64 | None = field(default=None, repr=False)
    parent: Tensor | None = field(default=None, repr=False)
    offset: int = 0

    def __post_init__(self) -> None:
        """Take h, w and c from the shape."""
        self.h, self.w, self.c = geometry(self.shape)

    def like(
        self,
        name: str,
        *,
        label: str | None = None,
        shape: tuple[int, ...] | None = None,
        constant: NDArray[np.int8] | None = None,
    ) -> Tensor:
        """A new tensor of the same scale, zero point and type; label and shape too, unless given."""
        label, shape = self.label if label is None else label, self.shape if shape is None else shape
        return Tensor(name, label, shape, self.scale, self.zero_point, constant, self.type)

    @property
    def stored(self) -> IntType:
        """The type of the device's integers: signed. Those of an unsigned model are moved down by half the range."""
        return IntType(self.type.bits, signed=True)

    def to_model(self, q: NDArray[Any]) -> NDArray[Any]:
        """Stored integers as the model's."""
        return self.type.cast(q.astype(np.int64) + (self.type.lo - self.stored.lo))

    @property
    def is_vector(self) -> bool:
        """One pixel only."""
        return self.h == 1 and self.w == 1

    @property
    def root(self) -> Tensor:
        """The tensor whose memory this one lies in."""
        return self.parent.root if self.parent else self

    @property
    def row_by_row(self) -> bool:
        """An image inside a vector: its rows and blocks follow each other without gaps."""
        return self.parent is not None and self.parent.is_vector and not self.is_vector

    def same_order(self, other: Tensor) -> bool:
        """Whether both shapes put every element at the same (h, w, c)."""
        if (self.h, self.w, self.c) != (other.h, other.w, other.c):
            return False
        return self.is_vector or is_image(self.shape) == is_image(other.shape)

    def to_hwc(self, values: NDArray[Any]) -> NDArray[Any]:
        """One value per element in ONNX order as [h, w, c]."""
        if is_image(self.shape):
            return values.reshape(self.c, self.h, self.w).transpose(1, 2, 0)
        return values.reshape(self.h, self.w, self.c)

    def from_hwc(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values [h, w, c] in the ONNX shape."""
        return (values.transpose(2, 0, 1) if is_image(self.shape) else values).reshape(self.shape)

    def lane_map(self) -> I64:
        """`lanes`, which must have been set."""
        if self.lanes is None:
            raise AssertionError(f"tensor '{self.name}' has no channel map yet")
        return self.lanes

    def blocks(self, block: int) -> int:
        """Channel blocks."""
        return len(self.lane_map()) // block

    def flat_index(self, block: int) -> I64:
        """Flat ONNX index of each value in memory order [h][blocks][w][B], -1 for padding."""
        lanes = self.lane_map().reshape(1, -1, 1, block)
        y = np.arange(self.h).reshape(-1, 1, 1, 1)
        x = np.arange(self.w).reshape(1, 1, -1, 1)
        image = is_image(self.shape)
        index = (lanes * self.h + y) * self.w + x if image else (y * self.w + x) * self.c + lanes
        return np.where(lanes < 0, -1, index)


@dataclass(eq=False)
class Op:
    """An operation: inputs, one output, and the ONNX nodes it stands for."""

    node: str
    op_type: str
    inputs: list[Tensor]
    output: Tensor

    @property
    def queue(self) -> str:
        """The queue its packets run in ("" where it has none)."""
        return "vec"

    def input_rows(self, y0: int, y1: int, index: int = 0) -> tuple[int, int]:
        """Rows [a, b) of an input that output rows [y0, y1) need; an input of one row is read whole."""
        return (y0, y1) if self.inputs[index].h == self.output.h else (0, self.inputs[index].h)
