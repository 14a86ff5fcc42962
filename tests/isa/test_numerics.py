"""Numerics against slow references in Python's unbounded integers, over all roundings and extremes."""

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

ROUNDINGS = tuple(Rounding)
INT8 = st.integers(-128, 127)
INT32 = st.one_of(st.integers(-(1 << 31), (1 << 31) - 1), st.sampled_from((-(1 << 31), (1 << 31) - 1, -1, 0, 1)))
MULT = st.one_of(st.just(0), st.integers(1 << 23, (1 << 24) - 1), st.sampled_from((1 << 23, (1 << 24) - 1)))
SHIFT = st.integers(0, 63)


def slow_round_shift(p: int, shift: int, rounding: int) -> int:
    """By the meaning of the words, on exact fractions."""
    x = Fraction(p, 1 << shift)
    if rounding == Rounding.FLOOR:
        return math.floor(x)
    if rounding == Rounding.HALF_UP:
        return math.floor(x + Fraction(1, 2)) if shift else p
    return round(x)  # Python rounds a Fraction to nearest, ties to even


def slow_clamp(x: int, lo: int, hi: int) -> int:
    return min(max(x, lo), hi)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@settings(max_examples=400)
@given(p=st.integers(-(1 << 57), 1 << 57), shift=SHIFT)
def test_round_shift(rounding: int, p: int, shift: int) -> None:
    assert int(n.round_shift(p, shift, rounding)) == slow_round_shift(p, shift, rounding)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("shift", range(64))
def test_round_shift_at_ties(rounding: int, shift: int) -> None:
    """Around every tie near zero and at the ends of the 57-bit range."""
    step = 1 << shift
    near = [k * step // 2 + d for k in range(-5, 6) for d in (-1, 0, 1)]
    ends = [s * (1 << 57) + d for s in (-1, 1) for d in (-1, 0, 1)]
    values = [p for p in near + ends if abs(p) <= (1 << 57) + 1]
    got = n.round_shift(np.array(values), shift, rounding)
    assert got.tolist() == [slow_round_shift(p, shift, rounding) for p in values]


def test_unknown_rounding() -> None:
    with pytest.raises(EncodingError, match="rounding 3 does not exist"):
        n.round_shift(1, 1, 3)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@settings(max_examples=400)
@given(acc=INT32, bias=INT32, mult=MULT, shift=SHIFT, zero=INT8, lo=INT8, hi=INT8)
def test_requantize(rounding: int, acc: int, bias: int, mult: int, shift: int, zero: int, lo: int, hi: int) -> None:
    expected = slow_clamp(slow_round_shift((acc + bias) * mult, shift, rounding) + zero, lo, hi)
    assert int(n.requantize(acc, bias, mult, shift, rounding, zero, lo, hi)) == expected


def float64_requantize(t: np.ndarray, mult: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Nearest-even requantization in float64, before zero point and clamp."""
    return np.rint(t.astype(np.float64) * mult.astype(np.float64) * np.exp2(-shift.astype(np.float64)))


@settings(max_examples=400)
@given(t=st.integers(-(1 << 29) + 1, (1 << 29) - 1), mult=MULT, shift=SHIFT)
def test_float64_is_exact_below_2_29(t: int, mult: int, shift: int) -> None:
    """|t| < 2^29 and mult < 2^24: the product has at most 53 bits, so float64 holds it and its halves exactly."""
    assert float(t) * float(mult) == t * mult  # Python compares int and float exactly
    got = float64_requantize(np.array([t]), np.array([mult]), np.array([shift]))
    assert int(got[0]) == slow_round_shift(t * mult, shift, Rounding.NEAREST_EVEN)


def test_float64_bound_is_tight() -> None:
    """One bit more and the product no longer fits: the bound is not a matter of taste."""
    largest = ((1 << 29) - 1) * ((1 << 24) - 1)
    assert largest < 1 << 53 and float(largest) == largest
    t, mult = (1 << 30) - 1, (1 << 24) - 1
    assert float(t) * float(mult) != t * mult


def test_float64_against_int64_in_bulk() -> None:
    rng = np.random.default_rng(1)
    t = rng.integers(-(1 << 29) + 1, 1 << 29, 200_000)
    mult = rng.integers(1 << 23, 1 << 24, t.size)
    shift = rng.integers(0, 64, t.size)
    exact = n.round_shift(t * mult, shift, Rounding.NEAREST_EVEN)
    assert np.array_equal(float64_requantize(t, mult, shift).astype(np.int64), exact)


@given(x=st.integers(-(1 << 40), 1 << 40))
def test_wrap32(x: int) -> None:
    wrapped = int(n.wrap32(x))
    assert -(1 << 31) <= wrapped < 1 << 31 and (wrapped - x) % (1 << 32) == 0


@pytest.mark.parametrize("rounding", ROUNDINGS)
@given(total=st.integers(-(1 << 33), 1 << 33), mult=MULT, shift=SHIFT, zero=INT8)
def test_average(rounding: int, total: int, mult: int, shift: int, zero: int) -> None:
    acc = (total + (1 << 31)) % (1 << 32) - (1 << 31)
    expected = slow_clamp(slow_round_shift(acc * mult, shift, rounding) + zero, -128, 127)
    assert int(n.average(total, mult, shift, rounding, zero, -128, 127)) == expected


RECORD = st.builds(
    n.ResidualRecord,
    a_mult=st.integers(0, (1 << 24) - 1),
    b_mult=st.integers(0, (1 << 24) - 1),
    shift=SHIFT,
    a_zero=INT8,
    b_zero=INT8,
    out_zero=INT8,
    lo=INT8,
    hi=INT8,
)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@given(a=INT8, b=INT8, record=RECORD)
def test_residual_add(rounding: int, a: int, b: int, record: n.ResidualRecord) -> None:
    p = (a - record.a_zero) * record.a_mult + (b - record.b_zero) * record.b_mult
    expected = slow_clamp(slow_round_shift(p, record.shift, rounding) + record.out_zero, record.lo, record.hi)
    assert int(n.residual_add(a, b, record, rounding)) == expected


@given(record=RECORD)
def test_residual_record_round_trip(record: n.ResidualRecord) -> None:
    assert len(record.pack()) == 12 and n.ResidualRecord.unpack(record.pack()) == record


def slow_elementwise(function: str, x: int, y: int, a_mult: int, b_mult: int) -> int:
    if function == "shift":
        by = slow_clamp(y, -15, 15)
        return (x * 2**by if by >= 0 else math.floor(Fraction(x, 2**-by))) * a_mult
    return {
        "add": x * a_mult + y * b_mult,
        "sub": x * a_mult - y * b_mult,
        "mul": x * y * a_mult,
        "max": max(x * a_mult, y * b_mult),
        "min": min(x * a_mult, y * b_mult),
        "abs": abs(x) * a_mult,
        "select": x * a_mult if y > 0 else 0,
    }[function]


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("function", ("add", "sub", "mul", "max", "min", "abs", "shift", "select"))
@given(
    a=INT8,
    b=INT8,
    za=INT8,
    zb=INT8,
    ma=st.integers(0, (1 << 24) - 1),
    mb=st.integers(0, (1 << 24) - 1),
    shift=SHIFT,
    zero=INT8,
)
def test_elementwise(
    function: str, rounding: int, a: int, b: int, za: int, zb: int, ma: int, mb: int, shift: int, zero: int
) -> None:
    p = slow_elementwise(function, a - za, b - zb, ma, mb)
    expected = slow_clamp(slow_round_shift(p, shift, rounding) + zero, -100, 90)
    got = n.elementwise(
        function,
        a,
        b,
        a_zero=za,
        b_zero=zb,
        a_mult=ma,
        b_mult=mb,
        shift=shift,
        rounding=rounding,
        out_zero=zero,
        lo=-100,
        hi=90,
    )
    assert int(got) == expected


def test_unknown_function() -> None:
    with pytest.raises(EncodingError, match="'pow' does not exist"):
        n.elementwise("pow", 1, 1, a_zero=0, b_zero=0, a_mult=1, b_mult=1, shift=0, rounding=0, out_zero=0, lo=0, hi=0)


@settings(max_examples=400)
@given(scale=st.one_of(st.floats(2.0**-33, 2.0**23, width=32), st.floats(2.0**-33, 1, width=32)))
def test_scale_is_exact(scale: float) -> None:
    mult, shift = n.scale_to_multiplier(scale)
    assert 1 << 23 <= mult < 1 << 24 and 0 <= shift <= 56
    assert Fraction(mult, 1 << shift) == Fraction(scale)


def test_scale_limits() -> None:
    assert n.scale_to_multiplier(0.0) == (0, 0)
    assert n.scale_to_multiplier(float(np.nextafter(np.float32(2.0**-33), np.float32(0)))) == (0, 0)
    assert n.scale_to_multiplier(float(np.nextafter(np.float32(2.0**24), np.float32(0)))) == ((1 << 24) - 1, 0)
    for bad in (-1.0, 2.0**24, math.inf, math.nan):
        with pytest.raises(EncodingError, match="scale"):
            n.scale_to_multiplier(bad)


@given(st.lists(st.tuples(INT32, MULT, SHIFT), min_size=1, max_size=20))
def test_records_round_trip(rows: list[tuple[int, int, int]]) -> None:
    bias, mult, shift = (np.array(column) for column in zip(*rows, strict=True))
    data = n.pack_records(bias, mult, shift)
    assert data.shape == (len(rows), 8)
    assert all(np.array_equal(a, b) for a, b in zip(n.unpack_records(data), (bias, mult, shift), strict=True))
    word = int.from_bytes(data[0].tobytes(), "little")  # the layout in words: bias, mult, shift, reserved
    assert word == (rows[0][0] & 0xFFFFFFFF) | rows[0][1] << 32 | rows[0][2] << 56


@pytest.mark.parametrize("values", [(1 << 31, 0, 0), (0, 1, 0), (0, 1 << 24, 0), (0, 0, 64), (0, 0, -1)])
def test_bad_records(values: tuple[int, int, int]) -> None:
    with pytest.raises(EncodingError):
        n.pack_records(*values)


@given(zero=INT8, scale=st.floats(2.0**-10, 16, width=32))
def test_table_of_identity(zero: int, scale: float) -> None:
    table = n.make_table(lambda x: x, scale, zero, scale, zero)
    q = np.arange(-128, 128)
    assert np.array_equal(table, q.astype(np.int8))
    assert np.array_equal(n.apply_table(q, table), q)


@pytest.mark.filterwarnings("error")
def test_quantize_saturates_where_the_steps_are_more_than_a_float_holds() -> None:
    assert n.quantize(np.array([1e38, -1e38], np.float32), 1e-3, 5).tolist() == [127, -128]


def test_quantize_rounds_to_even_and_saturates() -> None:
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 1000, -1000], np.float32)
    assert n.quantize(x, 1.0, 0).tolist() == [0, 2, 2, 0, -2, 127, -128]
    assert n.quantize(x, 1.0, 3).tolist() == [3, 5, 5, 3, 1, 127, -128]
