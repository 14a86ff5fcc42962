"""POOL: the maximum or average of windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa.integer import INT8
from vla_isa.numerics import ROUND_NEAREST_EVEN
from vlac.ir.geometry import window_rows
from vlac.ir.operation import Op
from vlac.ir.records import PoolPiece

__all__ = ["PoolOp"]

I64 = NDArray[np.int64]


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
    lo: int = INT8.lo
    hi: int = INT8.hi
    rounding: int = ROUND_NEAREST_EVEN

    def input_rows(self, y0: int, y1: int, index: int = 0) -> tuple[int, int]:
        """Rows under the windows, without padding."""
        return window_rows(self.inputs[0].h, y0, y1, self.strides[0], self.kernel[0], self.pads[0])
