"""Tensors of the device graph, and the base of the operations between them.

A tensor of any ONNX shape lies on the device as (h, w, c): an image [1, C, H, W] as it is, anything else with its last
axis as channels and the others as pixels of one row; with h = w = 1 it is a *vector*. Others have homes of their own.
Not here: the operations themselves (`device/`), the graph, which alone edits uses and producers (`ir/graph.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vla_isa.integer import INT8, IntType
from vlac.errors import GraphError
from vlac.ir.cut import Cut, Parameter, Span, Weights
from vlac.ir.geometry import geometry, is_image
from vlac.ir.packet import Region, RelocatablePacket

__all__ = ["ITEM_BYTES", "Home", "Op", "Placer", "Tensor"]

I64 = NDArray[np.int64]
ITEM_BYTES = 16  # of a pixel of a row vector


class Home(Enum):
    """Where a tensor lies and how.

    MATRIX   activation scratchpad, [h][blocks][planes][w][B]
    ITEMS    activation scratchpad, 16 bytes for each pixel; c values of any width that the instruction lays out
    WEIGHTS  weight scratchpad, words [w / B][blocks] of B x B bytes: w output channels of c input channels
    TABLE    data space, a constant, one pixel after another: lines of [blocks][planes][B]
    DATA     data space, lines of [blocks][planes][w][B]
    SPILLED  data space, weight words one after another
    """

    MATRIX = "matrix"
    ITEMS = "items"
    WEIGHTS = "weights"
    TABLE = "table"
    DATA = "data"
    SPILLED = "spilled"

    @property
    def on_chip(self) -> bool:
        """Whether it is a scratchpad."""
        return self in (Home.MATRIX, Home.ITEMS, Home.WEIGHTS)


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
        channel_map: for each channel position the logical channel stored there, -1 for padding; a vector's
            logical channel is its flat ONNX index. Set by `legalize/place`.
        home: see `Home`.
        with_items: 16 bytes for each pixel lie behind a matrix of one row: its maxima or sums, which its maker writes.
        groups: of a row vector, items of each pixel: those of the first group of channels of all pixels, then the next.
        parent, offset: it lies inside `parent`, `offset` channel blocks from its start (words of an image in a vector,
            row by row without gaps).
        pixel: pixels from the parent's start, of some pixels of a tensor of one row.
    """

    name: str
    label: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    constant: NDArray[Any] | None = field(default=None, repr=False)
    type: IntType = INT8
    home: Home = Home.MATRIX
    with_items: bool = False
    groups: int = 1
    producer: Op | None = field(default=None, repr=False)  # not shown: it would show the graph behind it
    consumers: list[Op] = field(default_factory=list, repr=False)
    channel_map: I64 | None = field(default=None, repr=False)
    parent: Tensor | None = field(default=None, repr=False)
    offset: int = 0
    pixel: int = 0

    def __post_init__(self) -> None:
        """Take h, w and c from the shape."""
        self.h, self.w, self.c = geometry(self.shape)

    def like(
        self,
        name: str,
        *,
        label: str | None = None,
        shape: tuple[int, ...] | None = None,
        constant: NDArray[Any] | None = None,
    ) -> Tensor:
        """A new tensor of the same scale, zero point and type; label and shape too, unless given."""
        label, shape = self.label if label is None else label, self.shape if shape is None else shape
        return Tensor(name, label, shape, self.scale, self.zero_point, constant, self.type)

    @property
    def stored(self) -> IntType:
        """The type of the device's integers."""
        return self.type.stored

    def to_model(self, q: NDArray[Any]) -> NDArray[Any]:
        """Stored integers as the model's."""
        return self.type.from_stored(q)

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

    def same_scale(self, other: Tensor) -> bool:
        """Whether equal stored integers are equal real numbers."""
        mine, others = ((t.scale, t.zero_point, t.stored) for t in (self, other))
        return mine == others

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

    def known_map(self) -> I64:
        """`channel_map`, which must have been set."""
        if self.channel_map is None:
            raise AssertionError(f"tensor '{self.name}' has no channel map yet")
        return self.channel_map

    def blocks(self, block: int) -> int:
        """Channel blocks."""
        return len(self.known_map()) // block

    @property
    def planes(self) -> int:
        """Byte planes of a channel block."""
        return self.stored.planes if self.home in (Home.MATRIX, Home.TABLE, Home.DATA) else 1

    @property
    def pitch(self) -> int:
        """Words from one byte plane of a row to the next, at least: a word for each pixel."""
        return self.w

    @property
    def pads_zero(self) -> bool:
        """Whether it is 0 where a channel position of it holds no channel."""
        if self.channel_map is not None and (self.channel_map >= 0).all():
            return True
        return self.zero_point == 0 if self.producer is None else self.producer.pads_zero

    def row_words(self, block: int) -> int:
        """Words of a row, without items behind it."""
        if self.home is Home.ITEMS:
            return self.item_words(block)
        if self.home in (Home.WEIGHTS, Home.SPILLED):
            return -(-self.w // block) * self.blocks(block)
        return self.blocks(block) * self.planes * self.pitch

    def item_words(self, block: int) -> int:
        """Words of an item for each pixel, or each group of its channels."""
        return self.w * self.groups * ITEM_BYTES // block

    def flat_index(self, block: int) -> I64:
        """Flat ONNX index of each value in memory order [h][blocks][w][B], -1 for padding."""
        channel_map = self.known_map().reshape(1, -1, 1, block)
        y = np.arange(self.h).reshape(-1, 1, 1, 1)
        x = np.arange(self.w).reshape(1, 1, -1, 1)
        image = is_image(self.shape)
        index = (channel_map * self.h + y) * self.w + x if image else (y * self.w + x) * self.c + channel_map
        return np.where(channel_map < 0, -1, index)


class Placer(Protocol):
    """What an operation may ask of the pass that places tensors, which edits the graph."""

    @property
    def block(self) -> int:
        """B."""

    def is_input(self, tensor: Tensor) -> bool:
        """Whether the tensor is an input of the model."""

    def is_output(self, tensor: Tensor) -> bool:
        """Whether the model returns the tensor."""

    def read_as(self, op: Op, index: int, channel_map: I64) -> None:
        """Let `op` read input `index` with this channel map, through a 0/1 matrix where it has another."""

    def zero_padded(self, op: Op, index: int) -> None:
        """Let `op` read an input whose padding is 0, through a 0/1 matrix where it is not."""

    def copied(self, op: Op, index: int) -> Tensor:
        """Let `op` read a copy of input `index`, which nobody else does."""

    def by_matrix(self, op: Op, channels: I64, fill: int) -> None:
        """Let a 0/1 matrix take the place of `op`: output channel i = input channel `channels[i]`, -1 is `fill`."""


@dataclass(eq=False)
class Op:
    """Inputs, one output, the ONNX nodes it stands for, and all that a pass may ask of it."""

    node: str
    op_type: str
    inputs: list[Tensor]
    output: Tensor
    whole: Op | None = field(default=None, kw_only=True)  # what it does some pixels of; they share weights, parameters

    queue: ClassVar[str] = ""  # where its packets run, "" where it has none
    in_bands: ClassVar[bool] = True  # computes some rows at a time
    leads: ClassVar[bool] = False  # others may run in its stage, band by band
    is_early: ClassVar[bool] = False  # best right behind what it reads
    reads_any_order: ClassVar[bool] = False  # of channels, at no cost
    reads_pairs: ClassVar[bool] = False  # two channel blocks of its inputs at once, as the byte planes of int16
    by_pixels: ClassVar[bool] = False  # each pixel of a tensor of one row is computed from that pixel of the inputs

    @property
    def is_shown(self) -> bool:
        """Whether its output can be compared: a matrix whose channels the host can put in order."""
        return bool(self.queue) and self.output.home is Home.MATRIX

    # --- what it computes -----------------------------------------------------------------------------

    def meaning(self, inputs: list[I64]) -> I64:
        """The output's stored integers from the inputs', each int64 [h, w, c], channels in logical order."""
        raise NotImplementedError(f"{type(self).__name__} has no meaning")

    def verify(self) -> None:
        """Check that shapes, types, records and ranges fit each other.

        Raises:
            GraphError: they do not; names the operation.
        """

    def require(self, holds: bool, text: str) -> None:
        """Refuse what does not hold.

        Raises:
            GraphError: names the operation and says what is wrong.
        """
        if not holds:
            raise GraphError(f"{self.op_type} '{self.node}': {text}")

    @property
    def detail(self) -> str:
        """What a listing says of it beside its tensors."""
        return ""

    @property
    def is_average(self) -> bool:
        """Whether exact results often lie halfway between two integers."""
        return False

    # --- how it rounds, what it can take over ---------------------------------------------------------

    def multipliers(self) -> I64:
        """The multipliers that its results are rounded after; none where it is exact."""
        return np.zeros(0, np.int64)

    def takes_wide(self, tensor: Tensor) -> bool:
        """Whether an operand of it, or its output, may be int16."""
        return False

    def round_by(self, rounding: int) -> None:
        """Round as `numerics.round_shift` with this code does."""

    def take_table(self, table: NDArray[np.int8]) -> bool:
        """Apply a table to the results, or a clamp that is the same; False, and nothing done, where it cannot."""
        return False

    # --- where its operands lie -----------------------------------------------------------------------

    @property
    def view_of(self) -> Tensor | None:
        """The tensor whose bytes, all of them, are the output under another shape."""
        return None

    @property
    def writes_any_order(self) -> bool:
        """Whether channels may be written in any order at no cost."""
        return False

    @property
    def pads_zero(self) -> bool:
        """Whether the output is 0 where a channel position holds no channel; asked when it is placed."""
        return False

    def nest(self, placer: Placer) -> None:
        """Say which tensors lie inside others."""

    def preset(self, placer: Placer) -> None:
        """Choose channel maps of inputs by what is wanted of the output, last operation first."""

    def place(self, placer: Placer) -> None:
        """Set the output's channel map from the inputs', or choose it, first operation first."""

    def preferred(self, tensor: Tensor) -> I64 | None:
        """The channel map that it would like an input to have, where it has a wish."""
        return None

    def fetch_cycles(self, row_stride: int, pixels: int) -> float:
        """Cycles of fetching input 0 where its rows are `row_stride` words apart, so many pixels at a time."""
        return 0.0

    def touched_pixels(self, tensor: Tensor, block: int) -> int:
        """How many pixels of each plane of an operand of one row it touches, from the first; more count for nothing."""
        return tensor.w

    # --- how it is cut --------------------------------------------------------------------------------

    def input_rows(self, y0: int, y1: int, index: int = 0) -> Span:
        """Rows [a, b) of an input that output rows [y0, y1) need; an input of one row is read whole."""
        return (y0, y1) if self.inputs[index].h == self.output.h else (0, self.inputs[index].h)

    def sees_input(self, y: int) -> bool:
        """Whether output row y does not depend on the padding behind the input alone."""
        return True

    @property
    def in_spans(self) -> bool:
        """Whether it takes parts of one row at a time, pixels or heads: as many packets as those that it joins."""
        return False

    def most_pixels(self, hw: HardwareConfig) -> int | None:
        """The most pixels of one row that it can make at a time; None: any number."""
        return None

    def of_pixels(self, first: int, inputs: list[Tensor], output: Tensor) -> Op:
        """The same for the pixels from `first` on that `output` holds; `inputs` are those pixels of its own."""
        return replace(self, inputs=inputs, output=output, whole=self.whole or self)

    def joins(self, leader: Op) -> bool:
        """Whether it runs in the stage of the operation that is emitted before it, as soon as rows are there."""
        return False

    def most_blocks(self, hw: HardwareConfig) -> int | None:
        """The most channel blocks of output that it can make at a time; None: any number."""
        return None

    def split(self, first: int, out: Tensor, block: int) -> list[Op]:
        """The operations that make `out`, the part of the output from channel block `first` on."""
        raise NotImplementedError(f"{type(self).__name__} cannot be split")

    # --- what it loads, and its packets ---------------------------------------------------------------

    @property
    def experts(self) -> list[Op]:
        """Itself, or the operations one of which it is; their weights and parameters are of the same sizes."""
        return [self]

    @property
    def choice(self) -> Tensor | None:
        """The item that is the number of the expert."""
        return None

    @property
    def weights(self) -> Weights | None:
        """The weights, if any."""
        return None

    def parameters(self, cut: Cut, hw: HardwareConfig) -> list[Parameter]:
        """The parameters in the order in which they lie."""
        return []

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """The packets of a tile, a band of output rows and a chunk of output blocks, in order."""
        return []
