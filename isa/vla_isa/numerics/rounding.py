"""Rounding, clamping and wrapping: what every other function of these numerics ends in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.errors import EncodingError
from vla_isa.generated.codes import Rounding
from vla_isa.integer import INT16

__all__ = ["I64", "IntLike", "clamp", "clamp18", "round_shift", "saturate16", "wrap32"]

I64 = NDArray[np.int64]
IntLike = Any  # int or integer array; numpy broadcasts


def wrap32(x: IntLike) -> I64:
    """Wrap to a signed 32-bit accumulator, modulo 2^32."""
    wrapped: I64 = ((np.asarray(x, dtype=np.int64) + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)
    return wrapped


def clamp(x: IntLike, lo: IntLike, hi: IntLike) -> I64:
    """`min(max(x, lo), hi)`: the lower bound first, so lo > hi gives hi."""
    clamped: I64 = np.minimum(np.maximum(np.asarray(x, dtype=np.int64), lo), hi)
    return clamped


def round_shift(p: IntLike, shift: IntLike, rounding: int) -> I64:
    """Shift right by 0..63 and round; |p| < 2^62.

    rounding 0: nearest, ties to even. 1: half up, `(p + (1 << (shift-1))) >> shift`. 2: floor.
    A shift of 0 returns p.
    """
    p = np.asarray(p, dtype=np.int64)
    s = np.asarray(shift, dtype=np.int64)
    r: I64
    if rounding == Rounding.FLOOR:
        r = p >> s
        return r
    # half is 0 where shift is 0, so nothing is added there; p + 2^62 stays inside int64.
    half = np.where(s > 0, np.int64(1) << np.maximum(s - 1, 0), 0)
    if rounding == Rounding.HALF_UP:
        r = (p + half) >> s
        return r
    if rounding == Rounding.NEAREST_EVEN:
        # half up, less one where it was a tie that landed on an odd number
        r = (p + half) >> s
        tie = (s > 0) & ((p & ~(np.int64(-1) << s)) == half)
        r = r - (tie & ((r & 1) == 1))
        return r
    raise EncodingError(f"rounding {rounding} does not exist; use 0 (nearest even), 1 (half up) or 2 (floor)")


def clamp18(x: IntLike) -> I64:
    """Saturate to 18 bits, what the machine keeps between a requantized sum and a residual, or of a difference."""
    return clamp(x, -(1 << 17), (1 << 17) - 1)


def saturate16(x: IntLike) -> I64:
    """Saturate to int16."""
    return clamp(x, INT16.lo, INT16.hi)
