"""What operations hold besides tensors: requantization, and pieces of pools and copies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa.generated.codes import Rounding
from vla_isa.integer import INT8

__all__ = ["UNIT", "Piece", "PoolPiece", "Requant", "Run"]

I64 = NDArray[np.int64]
UNIT = (1 << 23, 23)  # the multiplier and shift of 1


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
    lo: int = INT8.lo
    hi: int = INT8.hi
    table: NDArray[np.int8] | None = None
    rounding: int = Rounding.NEAREST_EVEN


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


@dataclass(frozen=True)
class Run:
    """`count` positions of one axis: out0, out0 + out_step, ... read from in0, in0 + in_step, ..."""

    out0: int
    out_step: int
    in0: int
    in_step: int
    count: int


@dataclass(frozen=True)
class Piece:
    """A grid of words of a copy: part `part` of the channels of input `source` to part `target` of the output's."""

    source: int
    part: int
    target: int
    rows: Run
    pixels: Run
