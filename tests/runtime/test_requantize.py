"""Fast requantization equals vla_isa.numerics bit for bit, on both sides of the float64 bound."""

from __future__ import annotations

import numpy as np
import pytest

from vla_isa import numerics
from vla_isa.encoding import make_packet
from vla_isa.packet import Packet
from vlarun import requantize as module
from vlarun.memory import Records
from vlarun.requantize import requantize


def packet(rounding: int, **values: int) -> Packet:
    return make_packet("CONV", **{"rounding": rounding, "out_zero": -3, "lo": -128, "hi": 127, **values})


@pytest.mark.parametrize("rounding", [0, 1, 2])
@pytest.mark.parametrize("bits", [8, 20, 28, 29, 31])
def test_random(rounding: int, bits: int) -> None:
    rng = np.random.default_rng(bits)
    for _ in range(20):
        acc = rng.integers(-(1 << bits), 1 << bits, (50, 16)).astype(np.int32)
        acc[0] = (1 << bits) - 1
        acc[1] = -(1 << bits)
        records = Records(rng.integers(-99, 99, 16), rng.integers(0, 1 << 24, 16), rng.integers(0, 64, 16))
        want = numerics.requantize(acc, *records, rounding, -3, -128, 127)
        for bound in (1 << bits, 1 << 31):
            assert np.array_equal(requantize(acc, records, packet(rounding), bound), want)


@pytest.mark.parametrize("rounding", [0, 1, 2])
def test_ties_and_their_neighbours(rounding: int) -> None:
    for shift in (1, 5, 24, 30, 53, 54, 63):
        mult = 1 << 23
        ties = [((2 * k + 1) << max(shift - 1, 0)) // mult for k in range(-5, 5)]
        values = np.array([t + d for t in ties for d in (-1, 0, 1) if abs(t) < 1 << 28], np.int64)
        records = Records(np.zeros(1, np.int64), np.array([mult]), np.array([shift]))
        acc = values.astype(np.int32)[:, None]
        want = numerics.requantize(acc, *records, rounding, -3, -128, 127)
        assert np.array_equal(requantize(acc, records, packet(rounding), 1 << 28), want), shift


def test_the_bound_is_taken_from_the_data() -> None:
    """A large bias with a large accumulator must leave the float path: the product has more than 53 bits."""
    acc = np.array([[(1 << 31) - 1, -(1 << 31)]], np.int32)
    records = Records(np.array([(1 << 31) - 1, -(1 << 31)]), np.full(2, (1 << 24) - 1), np.array([49, 49]))
    want = numerics.requantize(acc, *records, 0, -3, -128, 127)
    assert np.array_equal(requantize(acc, records, packet(0), 1 << 31), want)
    exact = (int(acc[0, 0]) + int(records.bias[0])) * int(records.mult[0])
    assert int(float(exact)) != exact  # so float64 could not have computed it


def test_crossed_clamp_gives_hi() -> None:
    acc = np.arange(-50, 50, dtype=np.int32)[:, None]
    records = Records(np.zeros(1, np.int64), np.array([1 << 23]), np.array([23]))
    assert (requantize(acc, records, packet(0, lo=20, hi=-20), 50) == -20).all()


def test_pair_tables_hold_every_pair() -> None:
    table = module.elementwise_pairs("sub", 3, -4, 1 << 23, 1 << 22, 23, 0, 1, -100, 100)
    a = np.repeat(np.arange(-128, 128), 256).astype(np.int8)
    b = np.tile(np.arange(-128, 128), 256).astype(np.int8)
    want = numerics.elementwise(
        "sub",
        a,
        b,
        a_zero=3,
        b_zero=-4,
        a_mult=1 << 23,
        b_mult=1 << 22,
        shift=23,
        rounding=0,
        out_zero=1,
        lo=-100,
        hi=100,
    )
    assert np.array_equal(module.apply_pairs(a, b, table), want)
