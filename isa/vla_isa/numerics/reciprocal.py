"""RECIP: reciprocals and reciprocal square roots as multipliers, from one ROM lookup and small products.

Below, x is an integer from 1 to 2^63 - 1, L the position of its leading one, m its 24 bits from there down. A root of
2^-23 m 2^(L mod 2) or a reciprocal of 2^-23 m starts from a ROM of 256 x 10 bits and is corrected by two terms of its
series; the 24 bits of the result are off by at most 1.15 units (1/x) and 1.45 units (1/sqrt(x)). All shifts floor.
"""

from __future__ import annotations

import numpy as np

from vla_isa.numerics.records import MAX_SHIFT
from vla_isa.numerics.rounding import I64, IntLike

__all__ = ["RECIPROCAL_ROM", "ROOT_ROM", "reciprocal", "reciprocal24", "reciprocal_root", "reciprocal_root24"]

_BITS = 24  # of a multiplier
_LARGEST = (1 << _BITS) - 1

RECIPROCAL_ROM: I64 = np.rint(1024 / (1 + (np.arange(256) + 0.5) / 256)).astype(np.int64)
ROOT_ROM: I64 = np.rint(
    1024 / np.sqrt((1 + ((np.arange(256) & 127) + 0.5) / 128) * np.where(np.arange(256) >= 128, 2, 1))
).astype(np.int64)


def reciprocal24(m: IntLike) -> I64:
    """m in [2^23, 2^24) to r in [2^23, 2^24) with r = 2^47 / m, nearly."""
    m = np.asarray(m, np.int64)
    y = RECIPROCAL_ROM[(m >> 15) & 255]
    f: I64 = ((1 << 33) - m * y) >> 7
    return _corrected(y, f + ((f * f) >> 26))


def reciprocal_root24(m: IntLike, odd: IntLike) -> I64:
    """m in [2^23, 2^24), odd 0 or 1, to r in [2^23, 2^24) with r = 2^24 / sqrt(2^-23 m 2^odd), nearly."""
    m, odd = np.asarray(m, np.int64), np.asarray(odd, np.int64)
    y = ROOT_ROM[(odd << 7) | ((m >> 16) & 127)]
    f = ((1 << 43) - ((m * y * y) << odd)) >> 17
    return _corrected(y, (f >> 1) + ((3 * ((f * f) >> 26)) >> 3))


def _corrected(y: I64, g: I64) -> I64:
    r: I64 = np.minimum(((y << 16) + ((y * g) >> 10) + 2) >> 2, _LARGEST)
    return r


def reciprocal(x: IntLike, mult: IntLike, shift: IntLike) -> tuple[I64, I64]:
    """(mult, shift) of K / x, for K = mult * 2^-shift with mult in [2^23, 2^24); (0, 0) where x <= 0.

    Beyond what a record holds, a result too small is (0, 0), and one too large the largest record, (2^24 - 1, 0).
    """
    x = np.asarray(x, np.int64)
    leading, m = _normalized(x)
    return _record(x, reciprocal24(m), _BITS + leading, mult, shift)


def reciprocal_root(x: IntLike, mult: IntLike, shift: IntLike) -> tuple[I64, I64]:
    """(mult, shift) of K / sqrt(x); see `reciprocal`."""
    x = np.asarray(x, np.int64)
    leading, m = _normalized(x)
    return _record(x, reciprocal_root24(m, leading & 1), _BITS + (leading >> 1), mult, shift)


def _normalized(x: I64) -> tuple[I64, I64]:
    """(position of the leading one, the 24 bits from there down) of x; of 1 where x <= 0."""
    x = np.maximum(x, 1)
    leading = np.zeros(x.shape, np.int64)
    for step in (32, 16, 8, 4, 2, 1):
        leading = np.where((x >> (leading + step)) > 0, leading + step, leading)
    below = leading - (_BITS - 1)
    return leading, np.where(below >= 0, x >> np.maximum(below, 0), x << np.maximum(-below, 0))


def _record(x: I64, r: I64, exponent: I64, mult: IntLike, shift: IntLike) -> tuple[I64, I64]:
    """r * 2^-exponent times K, as a record."""
    p = r * np.asarray(mult, np.int64)
    cut = np.where(p >= 1 << (2 * _BITS - 1), _BITS, _BITS - 1)
    out, places = p >> cut, exponent + np.asarray(shift, np.int64) - cut
    none = (x <= 0) | (places > MAX_SHIFT)
    out = np.where(none, 0, np.where(places < 0, _LARGEST, out))
    return out, np.where(none | (places < 0), 0, places)
