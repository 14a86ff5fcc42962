"""What operations hold besides tensors: requantization, the fused add, rectangles of a pool. Read through `graph`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa.numerics import INT8_MAX, INT8_MIN

__all__ = ["PoolPiece", "Requant", "Residual"]

I64 = NDArray[np.int64]


@dataclass
class Requant:
    """How accumulators become int8: records per output channel, then clamp and optional table.

    `bias` is int64 [O] (checked to be int32 when packed), `mult`, `shift` int64 [O]; `table` int8 [256] or None.
    """

    bias: I64
    mult: I64
    shift: I64
    zero_point: int
    lo: int = INT8_MIN
    hi: int = INT8_MAX
    table: NDArray[np.int8] | None = None


@dataclass
class Residual:
    """The add fused into a convolution: scales of both sides and the add's output.

    `zero_point` and the clamps of the convolution's own result stay in its Requant.
    """

    a_mult: int
    b_mult: int
    shift: int
    a_zero: int
    b_zero: int
    out_zero: int
    lo: int
    hi: int


@dataclass(frozen=True)
class PoolPiece:
    """A rectangle of a pool's output with one window size: rows [y0, y1), pixels [x0, x1).

    `record` is the first record it uses. Windows differ where ceil_mode cuts the last ones short.
    """

    y0: int
    y1: int
    x0: int
    x1: int
    kernel: tuple[int, int]
    record: int
