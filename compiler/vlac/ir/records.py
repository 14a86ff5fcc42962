"""What operations hold besides tensors: requantization, rectangles of a pool. Read through `graph`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa.numerics import INT8_MAX, INT8_MIN, ROUND_NEAREST_EVEN

__all__ = ["PoolPiece", "Requant"]

I64 = NDArray[np.int64]


@dataclass
class Requant:
    """How accumulators become int8: records per output channel, then clamp and optional table.

    `bias` is int64 [O] (checked to be int32 when packed), `mult`, `shift` int64 [O]; `table` int8 [256] or None;
    `rounding` as in `numerics.round_shift`, also of the residual add behind it.
    """

    bias: I64
    mult: I64
    shift: I64
    zero_point: int
    lo: int = INT8_MIN
    hi: int = INT8_MAX
    table: NDArray[np.int8] | None = None
    rounding: int = ROUND_NEAREST_EVEN


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
