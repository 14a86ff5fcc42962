"""RECIP's arithmetic beside exact fractions. Every mantissa is enumerated in tests/rtl/vla_recip."""

from __future__ import annotations

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
