"""Arithmetic of int16 results, ROW and REDUCE against Python's unbounded integers and fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_isa import numerics as n
from vla_isa.errors import EncodingError
from vla_isa.generated.codes import Rounding

ROUNDINGS = st.sampled_from(tuple(Rounding))
INT16 = st.one_of(st.integers(-32768, 32767), st.sampled_from((-32768, -32767, -1, 0, 1, 32767)))
INT32 = st.one_of(st.integers(-(1 << 31), (1 << 31) - 1), st.sampled_from((-(1 << 31), (1 << 31) - 1, -1, 0, 1)))
WIDE = st.one_of(st.integers(-(1 << 17), (1 << 17) - 1), st.sampled_from((-(1 << 17), (1 << 17) - 1, 0)))
MULT = st.one_of(st.integers(0, (1 << 24) - 1), st.sampled_from((0, 1, 1 << 23, (1 << 24) - 1)))
SHIFT = st.integers(0, 63)


def rounded(p: int, shift: int, rounding: int) -> int:
    """By the meaning of the words, on exact fractions."""
    x = Fraction(p, 1 << shift)
    if rounding == Rounding.FLOOR:
        return math.floor(x)
    if rounding == Rounding.HALF_UP:
        return math.floor(x + Fraction(1, 2)) if shift else p
    return round(x)


def saturated(x: int, bits: int) -> int:
    return max(-(1 << (bits - 1)), min(x, (1 << (bits - 1)) - 1))


@settings(max_examples=400)
@given(acc=INT32, bias=INT32, mult=MULT, shift=SHIFT, rounding=ROUNDINGS, res=INT16, valid=st.booleans())
def test_int16_results(acc: int, bias: int, mult: int, shift: int, rounding: int, res: int, valid: bool) -> None:
    q = rounded((acc + bias) * mult, shift, rounding)
    assert n.requantize16(acc, bias, mult, shift, rounding) == saturated(q, 16)
    total = saturated(q, 18) + res
    assert n.residual16(acc, bias, mult, shift, rounding, res) == saturated(total, 16)
    masked = not valid or res == -32768
    logit = -32768 if masked else max(-32767, min(total, 32767))
    assert n.masked_logits(acc, bias, mult, shift, rounding, res, valid) == logit


def test_a_sum_beyond_18_bits_does_not_come_back() -> None:
    """Without the clamp a residual would bring 200000 - 32768 back below; with it, it is 131071 - 32768."""
    assert n.residual16(200_000, 0, 1 << 23, 23, 0, -32768) == 32767
    assert n.residual16(-200_000, 0, 1 << 23, 23, 0, 32767) == -32768
    assert n.residual16(40_000, 0, 1 << 23, 23, 0, -32768) == 7232


@settings(max_examples=400)
@given(a=WIDE, k=st.integers(0, 16383), bias=INT32, mult=MULT, shift=SHIFT, rounding=ROUNDINGS)
def test_normalize(a: int, k: int, bias: int, mult: int, shift: int, rounding: int) -> None:
    assert n.normalize(a, k, bias, mult, shift, rounding) == saturated(
        rounded((a * k + bias) * mult, shift, rounding), 16
    )


@settings(max_examples=400)
@given(
    a=WIDE,
    b=st.integers(-32895, 32895),
    c=INT16,
    a_mult=MULT,
    c_mult=MULT,
    c_shift=st.integers(0, 15),
    shift=SHIFT,
    rounding=ROUNDINGS,
)
def test_linear_and_product(
    a: int, b: int, c: int, a_mult: int, c_mult: int, c_shift: int, shift: int, rounding: int
) -> None:
    scales = {"a_mult": a_mult, "c_mult": c_mult, "c_shift": c_shift, "shift": shift, "rounding": rounding}
    third = c * (1 << c_shift) * c_mult
    assert n.linear(a, c, **scales) == rounded(a * a_mult + third, shift, rounding)
    assert n.product(a, b, c, **scales) == rounded(a * b * a_mult + third, shift, rounding)


@settings(max_examples=400)
@given(a=WIDE, bias=INT32, mult=MULT, negative=st.booleans(), shift=SHIFT, rounding=ROUNDINGS)
def test_channel_records(a: int, bias: int, mult: int, negative: bool, shift: int, rounding: int) -> None:
    data = bias.to_bytes(4, "little", signed=True) + mult.to_bytes(3, "little") + bytes([shift | negative << 6])
    record = n.unpack_signed_records(np.frombuffer(data, np.uint8))
    sign = -1 if negative else 1
    assert n.channel(a, *record, rounding) == rounded((a + bias) * sign * mult, shift, rounding)


@given(a=st.integers(-33000, 33000), item=INT32)
def test_less_saturates_at_18_bits(a: int, item: int) -> None:
    assert n.less(a, item) == saturated(a - item, 18)


def test_interpolation_of_every_input() -> None:
    rng = np.random.default_rng(0)
    steps = rng.integers(-32768, 32768, (256, 2)).astype(np.int16)
    inputs = [*range(-33000, 33000, 7), -32768, 32767, -1, 0, 255, 256]
    for a, found in zip(inputs, n.interpolate(np.array(inputs), steps).tolist(), strict=True):
        q = saturated(a, 16)
        value, difference = (int(v) for v in steps[math.floor(q / 256) + 128])
        assert found == value + math.floor(Fraction(difference * (q % 256), 256) + Fraction(1, 2)), a


def test_interpolated_functions_are_near_the_function() -> None:
    scale = 8 / 32768
    x = np.arange(-32768, 32768)
    for function in (np.tanh, lambda v: v / (1 + np.exp(-v))):
        found = n.interpolate(x, n.make_steps(function, scale, scale))
        exact = np.clip(function(x * scale) / scale, -32768, 32767)
        assert np.abs(found - exact).max() < 3  # the chord of 256 steps of 2^-12, and two roundings


def test_a_step_that_int16_does_not_hold_is_refused() -> None:
    with pytest.raises(EncodingError, match="coarser output scale"):
        n.make_steps(lambda x: np.where(x < 0, -1.0, 1.0), 1.0, 1 / 32767)


@given(st.lists(st.tuples(st.integers(-128, 127), st.integers(0, 16382)), min_size=1, max_size=20))
def test_dither(pairs: list[tuple[int, int]]) -> None:
    table = np.random.default_rng(1).integers(0, 1 << 16, 256, np.uint16)
    q, column = (np.array(v) for v in zip(*pairs, strict=True))
    for (value, j), found in zip(pairs, n.dithered(q, table, column).tolist(), strict=True):
        pattern = int(f"{j % 256:08b}"[::-1], 2)
        assert found == min((int(table[value + 128]) + pattern) // 256, 127)


def test_dither_keeps_the_mean() -> None:
    """Over 256 columns the exponents of one entry sum to the entry."""
    table = np.arange(0, 256 * 127, 127, np.uint16)
    q = np.arange(-128, 128)
    sums = n.dithered(q[:, None], table, np.arange(256)).sum(axis=1)
    assert np.array_equal(sums, table)


@pytest.mark.parametrize("scale", [2.0**-8, 0.003, 0.1])
def test_exponents(scale: float) -> None:
    """By the way of the machine, and by math.exp, within half a unit and the rounding of the index."""
    for make, top in ((n.exponents, 127), (n.dithered_exponents, 127 * 256)):
        a_mult, shift, table = make(scale)
        step = math.log(2 * top) / 255
        exact = [round(top * math.exp(-i * step)) if i < 255 else 0 for i in range(256)]
        assert [int(e) for e in table[::-1]] == exact
        assert table[255] == top and table[0] == 0
        assert abs(a_mult * 2.0**-shift - scale / step) <= 2.0**-24 * scale / step


@pytest.mark.parametrize("scale", [2.0**-8, 0.003])
def test_wide_exponents(scale: float) -> None:
    """The lines beside math.exp: never a half below it, at most 0.1 % and a unit above."""
    a_mult, shift, steps = n.wide_exponents(scale)
    unit = math.log(2 * 127 * 257) / 128 / 256
    assert abs(a_mult * 2.0**-shift - scale / unit) <= 2.0**-23 * scale / unit
    for a, found in zip(range(-32768, 1), n.interpolate(np.arange(-32768, 1), steps).tolist(), strict=True):
        exact = 127 * 257 * math.exp(a * unit)
        assert exact - 1.01 <= found <= exact * 1.00095 + 1.01
    assert int(n.interpolate(0, steps)) == 127 * 257
    assert int(n.interpolate(-32768, steps)) == 0


@given(st.integers(1, 40), st.integers(0, 1 << 32))
def test_moments(channels: int, seed: int) -> None:
    q = np.random.default_rng(seed).integers(-32768, 32768, channels)
    variance, total = n.moments(q, channels)
    values = [int(v) for v in q]
    mean = Fraction(sum(values), channels)
    assert total == sum(values)
    assert Fraction(int(variance), channels**2) == sum((v - mean) ** 2 for v in values) / channels


def test_moments_of_the_longest_row_do_not_wrap() -> None:
    q = np.full(16383, -32768 - 127)
    q[::2] = 32767 + 128
    values = [int(v) for v in q]
    assert n.moments(q, 16383)[0] == 16383 * sum(v * v for v in values) - sum(values) ** 2 < 1 << 62


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=12), st.integers(0, 14))
def test_topk_mask(values: list[int], k: int) -> None:
    first = sorted(range(len(values)), key=lambda i: (-values[i], i))[:k]
    assert n.topk_mask(np.array(values), k).tolist() == [int(i in first) for i in range(len(values))]


@given(st.integers(-(1 << 63), (1 << 63) - 1), INT32)
def test_items(value: int, second: int) -> None:
    data = n.pack_items(np.array([value]), np.array([second]))
    wanted = value.to_bytes(8, "little", signed=True) + second.to_bytes(4, "little", signed=True) + bytes(4)
    assert data.tobytes() == wanted
    assert [int(part[0]) for part in n.unpack_items(data)] == [value, second]
    low = value & 0xFFFFFFFF
    assert n.item_index(value) == (low - (1 << 32) if low >> 31 else low)


@given(INT32, MULT, SHIFT)
def test_row_records(bias: int, mult: int, shift: int) -> None:
    data = n.pack_row_records(bias, mult, shift)
    assert data.tobytes() == (
        bias.to_bytes(4, "little", signed=True) + mult.to_bytes(3, "little") + bytes([shift]) + bytes(8)
    )


@given(st.floats(1e-6, 100), st.floats(1e-6, 100))
def test_two_scales_with_one_shift(a: float, b: float) -> None:
    a_mult, b_mult, shift = n.two_multipliers(a, b)
    for scale, mult in ((a, a_mult), (b, b_mult)):
        assert 0 <= mult < 1 << 24 and abs(mult * 2.0**-shift - scale) <= 2.0**-shift


@given(st.floats(1e-9, 1e-3), st.floats(1e-3, 1))
def test_the_scale_of_a_product_keeps_its_bits(product: float, c: float) -> None:
    a_mult, c_mult, c_shift, shift = n.product_multipliers(product, c)
    assert 0 <= c_shift <= 15 and 0 <= a_mult < 1 << 24 and 0 <= c_mult < 1 << 24
    exact = c / product < 2.0**15
    assert a_mult >= 1 << 22 or not exact
    assert abs(a_mult * 2.0**-shift - product) <= 2.0**-shift
    assert abs(c_mult * 2.0 ** (c_shift - shift) - c) <= 2.0 ** (c_shift - shift)
