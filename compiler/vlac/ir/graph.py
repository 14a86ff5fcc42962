"""The device graph: int8 tensors, and operations that map to instructions.

Built by `legalize/` from a QDQ model; read by `tile/`, `allocate/` and `emit/`. A tensor of any ONNX
shape lies on the device as (h, w, c): an image [1, C, H, W] as it is, anything else with its last axis
as channels and the others as pixels of one row. A tensor with h = w = 1 is a *vector*.
Not here: addresses (`allocate/`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.numerics import INT8_MAX, INT8_MIN, ROUND_NEAREST_EVEN, ResidualRecord
from vla_isa.program import Finish
from vlac.ir.geometry import geometry, is_image, window_rows
from vlac.ir.records import PoolPiece, Requant

__all__ = [
    "REORDER",
    "Alias",
    "ChannelSlice",
    "ConcatOp",
    "ConvOp",
    "GemmOp",
    "Graph",
    "GraphOutput",
    "Op",
    "PoolOp",
    "PoolPiece",
    "Requant",
    "Tensor",
    "VecOp",
    "View",
    "geometry",
    "is_image",
    "window_rows",
]

I64 = NDArray[np.int64]
REORDER = "Reorder"  # op_type of a 0/1 matrix that changes the order of channels


@dataclass(eq=False)
class Tensor:
    """An int8 tensor: real = (q - zero_point) * scale.

    Attributes:
        name: the quantized value's name in the QDQ model.
        label: the float value's name, as the user knows it.
        lanes: for each channel position the logical channel stored there, -1 for padding; a vector's
            logical channel is its flat ONNX index. Set by `legalize/place`.
        parent, offset: this tensor lies inside `parent`, `offset` channel blocks from its start (words,
            where the parent is a vector and this is an image laid out row by row without gaps).
        constant: integers of the ONNX shape, for an operand that is known at compile time.
    """

    name: str
    label: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    constant: NDArray[np.int8] | None = field(default=None, repr=False)
    unsigned: bool = False
    producer: Op | None = field(default=None, repr=False)  # not shown: it would show the graph behind it
    consumers: list[Op] = field(default_factory=list, repr=False)
    lanes: I64 | None = field(default=None, repr=False)
    parent: Tensor | None = field(default=None, repr=False)
    offset: int = 0

    def __post_init__(self) -> None:
        """Take h, w and c from the shape."""
        self.h, self.w, self.c = geometry(self.shape)

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
        """Flat ONNX index of each byte in memory order [h][blocks][w][B], -1 for padding."""
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

    def __post_init__(self) -> None:
        """Enter this operation in its tensors."""
        self.output.producer = self
        for t in self.inputs:
            t.consumers.append(self)

    @property
    def queue(self) -> str:
        """The queue its packets run in ("" where it has none)."""
        return "vec"

    def input_rows(self, y0: int, y1: int, index: int = 0) -> tuple[int, int]:
        """Rows [a, b) of an input that output rows [y0, y1) need; an input of one row is read whole."""
        return (y0, y1) if self.inputs[index].h == self.output.h else (0, self.inputs[index].h)


@dataclass(eq=False)
class ConvOp(Op):
    """2-D convolution. weight int8 [O, I / group, kh, kw]; pads are top, left (bottom, right follow).

    With `residual`, inputs[1] is the tensor that is added. `macs` is what one output value is counted for:
    the model's own taps, also where space to depth has added zero ones.
    """

    weight: NDArray[np.int8]
    requant: Requant
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int]
    group: int = 1
    residual: ResidualRecord | None = None
    macs: int = 0

    def __post_init__(self) -> None:
        """Count the weights of one output channel, unless told."""
        super().__post_init__()
        self.macs = self.macs or self.weight[0].size

    @property
    def queue(self) -> str:
        """The MAC engine."""
        return "mac"

    @property
    def kernel(self) -> tuple[int, int]:
        """Kernel rows and columns."""
        return self.weight.shape[2], self.weight.shape[3]

    def input_rows(self, y0: int, y1: int, index: int = 0) -> tuple[int, int]:
        """Rows under the windows, without padding; of the residual the output's own rows."""
        if index:
            return y0, y1
        return window_rows(
            self.inputs[0].h, y0, y1, self.strides[0], (self.kernel[0] - 1) * self.dilations[0] + 1, self.pads[0]
        )


@dataclass(eq=False)
class GemmOp(Op):
    """M x K by K x N. weight int8 [N, K]."""

    weight: NDArray[np.int8]
    requant: Requant

    @property
    def queue(self) -> str:
        """The MAC engine."""
        return "mac"


@dataclass(eq=False)
class PoolOp(Op):
    """Max or average pool. pads are top, left; `records` (mult, shift) of the averages.

    `count` "fixed" uses a piece's record, "valid" the record of n taps inside the input, n - 1 after it.
    """

    mode: str
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int]
    pieces: list[PoolPiece]
    count: str
    records: tuple[I64, I64]
    zero_point: int
    lo: int = INT8_MIN
    hi: int = INT8_MAX
    rounding: int = ROUND_NEAREST_EVEN

    def input_rows(self, y0: int, y1: int, index: int = 0) -> tuple[int, int]:
        """Rows under the windows, without padding."""
        return window_rows(self.inputs[0].h, y0, y1, self.strides[0], self.kernel[0], self.pads[0])


@dataclass(eq=False)
class VecOp(Op):
    """Elementwise `round_shift(f(a, b), shift) + zero`, clamped, then the optional table.

    One input and `function` "add" with mult 2^23, shift 23 and the input's zero point is the identity,
    in front of a table or as a copy. `zero_point` is that of the result in front of the table.
    """

    function: str
    a_mult: int
    b_mult: int
    shift: int
    zero_point: int
    lo: int = INT8_MIN
    hi: int = INT8_MAX
    table: NDArray[np.int8] | None = None
    rounding: int = ROUND_NEAREST_EVEN


@dataclass(eq=False)
class View(Op):
    """The same bytes read as an image and as a vector: no instruction. One of input and output is a vector.

    Output element i is input element `order[i]`, i where `order` is None.
    """

    order: I64 | None = None

    @property
    def queue(self) -> str:
        """None: a view has no packets."""
        return ""

    def image_lanes(self, block: int) -> I64:
        """The vector's element at each byte of the image, -1 for padding."""
        if self.inputs[0].is_vector:
            flat = self.output.flat_index(block).reshape(-1)
            order = self.order
        else:
            flat = self.inputs[0].flat_index(block).reshape(-1)
            order = None if self.order is None else np.argsort(self.order)
        return flat if order is None else np.where(flat < 0, -1, order[flat])

    def rearranged(self, parts: list[NDArray[np.int8]]) -> NDArray[np.int8]:
        """The output's values, for comparison with a reference."""
        flat = parts[0].reshape(-1)
        return (flat if self.order is None else flat[self.order]).reshape(self.output.shape)


@dataclass(eq=False)
class ConcatOp(Op):
    """Inputs side by side in channel blocks: no instruction, the producers write in place."""

    @property
    def queue(self) -> str:
        """None: producers write in place."""
        return ""

    def rearranged(self, parts: list[NDArray[np.int8]]) -> NDArray[np.int8]:
        """The output's values, for comparison with a reference."""
        hwc = [t.to_hwc(p) for t, p in zip(self.inputs, parts, strict=True)]
        return self.output.from_hwc(np.concatenate(hwc, axis=2))


@dataclass(eq=False)
class ChannelSlice(Op):
    """Some channel blocks of the input: no instruction, the output lies in the input."""

    @property
    def queue(self) -> str:
        """None: the bytes are there."""
        return ""


@dataclass(frozen=True)
class GraphOutput:
    """An output of the model: its name, ONNX shape and dtype, the tensor that holds it, and what the host adds.

    With `moved` the output's element i is element `moved[i]` of the tensor; `layout` is then the (view, permutation)
    with which the host unpacks it. `source` is the tensor the model names, where `tensor` is a copy of it with its
    channels in order. A `debug` output is none of the model's: it is there for comparison.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    tensor: Tensor
    finish: tuple[Finish, ...] = ()
    moved: I64 | None = None
    layout: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    source: Tensor | None = None
    debug: bool = False

    def tensor_values(self, values: NDArray[np.int8]) -> NDArray[np.int8]:
        """The tensor's values from the output's."""
        flat = values.reshape(-1)
        return (flat if self.moved is None else flat[np.argsort(self.moved)]).reshape(self.tensor.shape)


@dataclass(frozen=True)
class Alias:
    """A tensor of the model whose values others hold: element i is their element `index[i]`, -1 the integer `fill`."""

    tensor: Tensor
    holders: list[Tensor]
    index: I64
    fill: int = 0


@dataclass(eq=False)
class Graph:
    """Tensors and operations in execution order.

    `input_layouts` replaces the packing of an input (space to depth, transposes): input tensor -> the ONNX input's
    (shape, view, permutation). `input_moves` says where such a tensor's elements lie in the ONNX input, unless they
    keep its order. `aliases` are tensors of the model that need no memory.
    """

    inputs: list[Tensor]
    outputs: list[GraphOutput]
    ops: list[Op]
    input_labels: dict[Tensor, tuple[str, str]] = field(default_factory=dict)
    input_layouts: dict[Tensor, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    input_moves: dict[Tensor, I64] = field(default_factory=dict)
    aliases: list[Alias] = field(default_factory=list)

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors that exist at run time, inputs first."""
        constants = [t for op in self.ops for t in op.inputs if t.constant is not None]
        return [*self.inputs, *dict.fromkeys(constants), *(op.output for op in self.ops)]

    def replace(self, old: Tensor, new: Tensor) -> None:
        """Let every consumer and graph output of `old` read `new`."""
        for op in list(old.consumers):
            op.inputs = [new if t is old else t for t in op.inputs]
            new.consumers.append(op)
        old.consumers.clear()
        self.outputs = [replace(o, tensor=new) if o.tensor is old else o for o in self.outputs]

    def is_output(self, tensor: Tensor) -> bool:
        """Whether the model returns this tensor."""
        return any(o.tensor is tensor for o in self.outputs)
