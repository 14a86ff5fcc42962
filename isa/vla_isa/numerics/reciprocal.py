"""RECIP: 1/x and 1/sqrt(x) as a multiplier and a shift, in exact integers and without a division.

A table gives 10 bits of the reciprocal of the leading bits, two terms of the series of its error give 24 bits. All
2^23 mantissas were enumerated: a 24-bit result is within 1.15 units of its last place (1/x) or 1.45 (1/sqrt x), a
whole record within 2.1e-7 of K/x or K/sqrt(x). The Verilog has its tables from here (`generate/recip_rom.py`).
Not here: the sums RECIP reads, and the bias of its records.

Source: Pineiro et al., High-Speed Function Approximation Using a Minimax Quadratic Interpolator, IEEE TC 54(3), 2005,
for the shape table, square, multiply; the series here is Taylor's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ROM_RECIPROCAL", "ROM_RSQRT", "reciprocal", "rsqrt"]

I64 = NDArray[np.int64]
IntLike = int | I64

_STEPS = np.arange(256)
_RSQRT_MIDDLES = (1 + ((_STEPS & 127) + 0.5) / 128) * np.where(_STEPS >= 128, 2.0, 1.0)
# 10 bits for the middle of each interval. By 8 bits below the leading one, or by parity of its position and 7 bits.
ROM_RECIPROCAL: I64 = np.rint(1024.0 / (1 + (_STEPS + 0.5) / 256)).astype(np.int64)
ROM_RSQRT: I64 = np.rint(1024.0 / np.sqrt(_RSQRT_MIDDLES)).astype(np.int64)

_TOP = (1 << 24) - 1  # the largest multiplier


def reciprocal(x: IntLike, mult: IntLike, shift: IntLike) -> tuple[I64, I64]:
    """`K / x` as (multiplier, shift), K = mult * 2^-shift.

    Args:
        x: int64; 0 and less give (0, 0).
        mult: in [2^23, 2^24).
        shift: 0..63.

    Returns:
        (m, s) with m * 2^-s near K / x: m in [2^23, 2^24), s in 0..63; (0, 0) where s would exceed 63.
    """
    x = np.asarray(x, np.int64)
    position = _leading_one(x)
    m = _mantissa(x, position)
    y = ROM_RECIPROCAL[(m >> 15) & 255]
    f = ((np.int64(1) << 33) - m * y) >> 7  # 1 - m*y in units of 2^-26, 20 bits
    g = f + ((f * f) >> 26)
    return _record(x, _refined(y, g), position, mult, shift)


def rsqrt(x: IntLike, mult: IntLike, shift: IntLike) -> tuple[I64, I64]:
    """`K / sqrt(x)`; arguments and result as for `reciprocal`."""
    x = np.asarray(x, np.int64)
    position = _leading_one(x)
    odd = position & 1
    m = _mantissa(x, position)
    y = ROM_RSQRT[(odd << 7) | ((m >> 16) & 127)]
    f = ((np.int64(1) << 43) - ((m * (y * y)) << odd)) >> 17  # 1 - m*y^2 in units of 2^-26, 20 bits
    g = (f >> 1) + ((3 * ((f * f) >> 26)) >> 3)
    return _record(x, _refined(y, g), position >> 1, mult, shift)


def _leading_one(x: I64) -> I64:
    """Position of the leading one; 0 where x < 1."""
    position = np.zeros(x.shape, np.int64)
    for step in (32, 16, 8, 4, 2, 1):
        position = np.where(x >> (position + step) > 0, position + step, position)
    return position


def _mantissa(x: I64, position: I64) -> I64:
    """The 24 bits from the leading one down, truncated."""
    x = np.maximum(x, 1)
    return np.where(position >= 23, x >> np.maximum(position - 23, 0), x << np.maximum(23 - position, 0))


def _refined(y: I64, g: I64) -> I64:
    """y * (1 + g) in 24 bits."""
    refined: I64 = np.minimum(((y << 16) + ((y * g) >> 10) + 2) >> 2, _TOP)
    return refined


def _record(x: I64, r: I64, exponent: I64, mult: IntLike, shift: IntLike) -> tuple[I64, I64]:
    """(r * 2^-(24 + exponent)) * (mult * 2^-shift), normalised; the shift is never negative."""
    product = r * np.asarray(mult, np.int64)  # 46 to 48 bits
    high = product >> 47
    m, s = product >> (23 + high), exponent + np.asarray(shift, np.int64) + 1 - high
    none = (x <= 0) | (s > 63)
    return np.where(none, 0, m), np.where(none, 0, s)
