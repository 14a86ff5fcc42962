"""How an ONNX tensor lies in memory: channel blocks, lines, and the packing of inputs and outputs.

A tensor is viewed as (H, W, C): reshape to `view`, transpose by `permutation`, reshape to (h, w, c).
In memory it is `[H][C/B][planes][W][B]`: a value of two bytes lies as two byte planes, the low byte's first. In the
data space every (row, channel block, plane) starts on a 64-byte line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.errors import ProgramError
from vla_isa.hardware import LINE_BYTES
from vla_isa.integer import INT8, INT16, IntType
from vla_isa.records import LEFT_OUT

__all__ = ["TensorLayout", "pack", "unpack"]

_TYPES = {kind.planes: kind for kind in (INT8, INT16)}


@dataclass(frozen=True)
class TensorLayout:
    """Where each element of an ONNX tensor lies.

    Attributes:
        shape: the ONNX shape.
        view: shape after the first reshape (same number of elements).
        permutation: transpose applied to `view`, so that axes come in the order rows, pixels, channels.
        h, w, c: sizes after the second reshape.
        block: B.
        channel_map: pairs (first channel position, count): logical channels in order are stored at these
            positions; positions between them are padding. Empty means one run from 0.
        planes: bytes of a value: 1 is int8, 2 int16.
    """

    shape: tuple[int, ...]
    view: tuple[int, ...]
    permutation: tuple[int, ...]
    h: int
    w: int
    c: int
    block: int
    channel_map: tuple[tuple[int, int], ...] = ()
    planes: int = field(default=1, metadata=LEFT_OUT)

    def __post_init__(self) -> None:
        """Refuse a layout that does not hold exactly the tensor's elements."""
        size = math.prod(self.shape)
        runs = self.runs
        ok = (
            math.prod(self.view) == size == self.h * self.w * self.c
            and sorted(self.permutation) == list(range(len(self.view)))
            and sum(n for _, n in runs) == self.c
            and all(p >= 0 and n > 0 for p, n in runs)
            and all(p + n <= q for (p, n), (q, _) in pairwise(runs))
            and min(self.h, self.w, self.c, self.block) > 0
            and self.planes in _TYPES
        )
        if not ok:
            raise ProgramError(f"inconsistent tensor layout {self}")

    @property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """`channel_map`, or the one run it stands for."""
        return self.channel_map or ((0, self.c),)

    @property
    def type(self) -> IntType:
        """The type of the values."""
        return _TYPES[self.planes]

    @property
    def blocks(self) -> int:
        """Channel blocks, padding included."""
        last, count = self.runs[-1]
        return -(-(last + count) // self.block)

    @property
    def row_lines(self) -> int:
        """Data-space lines of one row of one plane of one channel block."""
        return -(-(self.w * self.block) // LINE_BYTES)

    @property
    def lines(self) -> int:
        """Data-space lines of the whole tensor."""
        return self.h * self.blocks * self.planes * self.row_lines

    def positions(self) -> NDArray[np.int64]:
        """Channel position of each logical channel, int64 [c]."""
        return np.concatenate([np.arange(p, p + n) for p, n in self.runs])


def pack(q: NDArray[Any], layout: TensorLayout, fill: int = 0) -> NDArray[np.int8]:
    """Integers of the ONNX shape to data-space bytes, int8 [lines * 64]; padding values and bytes are those of `fill`.

    Raises:
        EncodingError: a value outside the layout's type.
    """
    h, w, blocks, planes = layout.h, layout.w, layout.blocks, layout.planes
    hwc = layout.type.cast(q).reshape(layout.view).transpose(layout.permutation).reshape(h, w, layout.c)
    padding = layout.type.cast([fill])
    padded = np.full((h, w, blocks * layout.block), padding, layout.type.dtype)
    padded[:, :, layout.positions()] = hwc
    values = padded.reshape(h, w, blocks, layout.block, 1).view(np.int8)
    out = np.empty((h, blocks, planes, layout.row_lines * LINE_BYTES), np.int8)
    out[...] = padding.view(np.int8)[:, None]
    out[..., : w * layout.block] = values.transpose(0, 2, 4, 1, 3).reshape(h, blocks, planes, -1)
    return out.reshape(-1)


def unpack(data: NDArray[np.int8], layout: TensorLayout) -> NDArray[Any]:
    """The inverse of `pack`: int8 [lines * 64] to integers of the ONNX shape, of the layout's type."""
    h, w, blocks, planes = layout.h, layout.w, layout.blocks, layout.planes
    lines = np.asarray(data, np.int8).reshape(h, blocks, planes, layout.row_lines * LINE_BYTES)
    rows = lines[..., : w * layout.block].reshape(h, blocks, planes, w, layout.block)
    values = np.ascontiguousarray(rows.transpose(0, 3, 1, 4, 2)).view(layout.type.dtype)
    hwc = values.reshape(h, w, -1)[:, :, layout.positions()]
    back = [layout.view[i] for i in layout.permutation]
    return hwc.reshape(back).transpose(np.argsort(layout.permutation)).reshape(layout.shape)
