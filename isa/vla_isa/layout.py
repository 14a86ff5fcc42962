"""How an ONNX tensor lies in memory: channel blocks, lines, and the packing of inputs and outputs.

A tensor is viewed as (H, W, C): reshape to `view`, transpose by `permutation`, reshape to (h, w, c).
In memory it is `[H][C/B][W][B]`; in the data space every (row, channel block) starts on a 64-byte line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vla_isa.errors import ProgramError
from vla_isa.hardware import LINE_BYTES

__all__ = ["TensorLayout", "pack", "unpack"]


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
    """

    shape: tuple[int, ...]
    view: tuple[int, ...]
    permutation: tuple[int, ...]
    h: int
    w: int
    c: int
    block: int
    channel_map: tuple[tuple[int, int], ...] = ()

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
        )
        if not ok:
            raise ProgramError(f"inconsistent tensor layout {self}")

    @property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """`channel_map`, or the one run it stands for."""
        return self.channel_map or ((0, self.c),)

    @property
    def blocks(self) -> int:
        """Channel blocks, padding included."""
        last, count = self.runs[-1]
        return -(-(last + count) // self.block)

    @property
    def row_lines(self) -> int:
        """Data-space lines of one row of one channel block."""
        return -(-(self.w * self.block) // LINE_BYTES)

    @property
    def lines(self) -> int:
        """Data-space lines of the whole tensor."""
        return self.h * self.blocks * self.row_lines

    def positions(self) -> NDArray[np.int64]:
        """Channel position of each logical channel, int64 [c]."""
        return np.concatenate([np.arange(p, p + n) for p, n in self.runs])


def pack(q: NDArray[np.int8], layout: TensorLayout, fill: int = 0) -> NDArray[np.int8]:
    """Integers of the ONNX shape to data-space bytes, int8 [lines * 64]; padding bytes are `fill`."""
    hwc = np.asarray(q, np.int8).reshape(layout.view).transpose(layout.permutation)
    hwc = hwc.reshape(layout.h, layout.w, layout.c)
    padded = np.full((layout.h, layout.w, layout.blocks * layout.block), fill, np.int8)
    padded[:, :, layout.positions()] = hwc
    rows = padded.reshape(layout.h, layout.w, layout.blocks, layout.block).transpose(0, 2, 1, 3)
    out = np.full((layout.h, layout.blocks, layout.row_lines * LINE_BYTES), fill, np.int8)
    out[:, :, : layout.w * layout.block] = rows.reshape(layout.h, layout.blocks, -1)
    return out.reshape(-1)


def unpack(data: NDArray[np.int8], layout: TensorLayout) -> NDArray[np.int8]:
    """The inverse of `pack`: int8 [lines * 64] to integers of the ONNX shape."""
    lines = np.asarray(data, np.int8).reshape(layout.h, layout.blocks, layout.row_lines * LINE_BYTES)
    rows = lines[:, :, : layout.w * layout.block].reshape(layout.h, layout.blocks, layout.w, layout.block)
    hwc = rows.transpose(0, 2, 1, 3).reshape(layout.h, layout.w, -1)[:, :, layout.positions()]
    back = [layout.view[i] for i in layout.permutation]
    return hwc.reshape(back).transpose(np.argsort(layout.permutation)).reshape(layout.shape)
