"""CONV: a 2-D convolution with requantization, residual add and table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa.numerics import ResidualRecord
from vlac.ir.geometry import window_rows
from vlac.ir.operation import Op
from vlac.ir.records import Requant

__all__ = ["ConvOp"]


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
