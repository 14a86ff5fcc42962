"""RECIP's arithmetic beside exact fractions. Every mantissa is enumerated in tests/rtl/vla_recip."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from vla_isa.numerics import scale_to_multiplier
from vla_isa.numerics.reciprocal import reciprocal, rsqrt

RELATIVE = Fraction(21, 10**8)


def values() -> np.ndarray:
    rng = np.random.default_rng(5)
    edges = [(1 << p) + d for p in range(1, 63) for d in (-1, 0, 1)]
    drawn = np.maximum(rng.integers(1, 1 << 62, 2000) >> rng.integers(0, 62, 2000), 1)
    return np.array([1, *edges, (1 << 63) - 1, *drawn], np.int64)


def test_reciprocal_is_near_the_fraction() -> None:
    mult, shift = scale_to_multiplier(0.7)
    for x, m, s in zip(values().tolist(), *(v.tolist() for v in reciprocal(values(), mult, shift)), strict=True):
        exact = Fraction(mult, 1 << shift) / x
        if s:
            assert 1 << 23 <= m < 1 << 24 and abs(Fraction(m, 1 << s) - exact) <= RELATIVE * exact
        else:
            assert m == 0 and exact < Fraction(1, 1 << 40)


def test_rsqrt_is_near_the_root() -> None:
    mult, shift = scale_to_multiplier(3.0)
    for x, m, s in zip(values().tolist(), *(v.tolist() for v in rsqrt(values(), mult, shift)), strict=True):
        square = Fraction(m, 1 << s) ** 2 * x / Fraction(mult, 1 << shift) ** 2  # 1, were it exact
        assert 1 << 23 <= m < 1 << 24 and abs(square - 1) <= 2 * RELATIVE + RELATIVE**2


def test_no_sum_no_record() -> None:
    for function in (reciprocal, rsqrt):
        m, s = function(np.array([0, -1, -(1 << 63)]), 1 << 23, 0)
        assert not m.any() and not s.any()


def record(x: int, mult: int, shift: int, *, root: bool) -> tuple[int, int]:
    """(mult, shift) in Python's integers, from the formulas of the specification."""
    if x <= 0:
        return 0, 0
    leading = x.bit_length() - 1
    m = x >> leading - 23 if leading >= 23 else x << 23 - leading
    if root:
        odd = leading % 2
        middle = (1 + Fraction(2 * (m >> 16 & 127) + 1, 256)) * (1 + odd)
        y = round_root(middle)
        f = ((1 << 43) - (m * y * y << odd)) >> 17
        g = (f >> 1) + (3 * (f * f >> 26) >> 3)
        exponent = 24 + leading // 2
    else:
        y = round(1024 / (1 + Fraction(2 * (m >> 15 & 255) + 1, 512)))
        f = ((1 << 33) - m * y) >> 7
        g = f + (f * f >> 26)
        exponent = 24 + leading
    r = min(((y << 16) + (y * g >> 10) + 2) >> 2, (1 << 24) - 1)
    cut = 24 if r * mult >= 1 << 47 else 23
    places = exponent + shift - cut
    return (0, 0) if places > 63 else (r * mult >> cut, places)


def round_root(x: Fraction) -> int:
    """1024 / sqrt(x), rounded, in integers."""
    return (math.isqrt(4 * 1024**2 * x.denominator // x.numerator) + 1) // 2


def test_every_bit_of_records() -> None:
    rng = np.random.default_rng(9)
    x = values()
    for root, function in ((False, reciprocal), (True, rsqrt)):
        for shift in (0, 17, 40, 63):
            mult = int(rng.integers(1 << 23, 1 << 24))
            found = zip(*(v.tolist() for v in function(x, mult, shift)), strict=True)
            for one, got in zip(x.tolist(), found, strict=True):
                assert got == record(one, mult, shift, root=root), (one, mult, shift)


def test_every_mantissa() -> None:
    """The 24 bits of 1/m and 1/sqrt(m 2^odd) beside float64, for all 2^23 mantissas and both parities."""
    one = 1 << 23  # with K = 1 a record has the bits of the reciprocal
    for first in range(1 << 23, 1 << 24, 1 << 21):
        m = np.arange(first, first + (1 << 21), dtype=np.int64)
        assert np.abs(reciprocal(m, one, 23)[0] - 2.0**47 / m).max() < 1.15
        for odd in (0, 1):  # m << odd has its leading one at 23 + odd
            exact = 2.0**24 / np.sqrt(m * 2.0 ** ((23 + odd) % 2 - 23))
            assert np.abs(rsqrt(m << odd, one, 23)[0] - exact).max() < 1.45
