"""Scales as multipliers, and tables of functions: the only floats of these numerics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.errors import EncodingError
from vla_isa.generated.codes import Rounding
from vla_isa.integer import INT8, INT16, IntType

__all__ = [
    "dithered_exponents",
    "exponents",
    "make_steps",
    "make_table",
    "product_multipliers",
    "quantize",
    "requantize_scale",
    "scale_to_multiplier",
    "scales_to_multipliers",
    "two_multipliers",
    "wide_exponents",
]

I64 = NDArray[np.int64]

TOP = INT8.hi  # the largest exponent


def requantize_scale(s_x: float, s_w: NDArray[np.float32], s_y: float) -> NDArray[np.float32]:
    """`float32(float32(s_x * s_w[c]) / s_y)`, in this order, as ONNX Runtime computes it."""
    product = (np.float32(s_x) * np.asarray(s_w, dtype=np.float32)).astype(np.float32)
    return (product / np.float32(s_y)).astype(np.float32)


def scale_to_multiplier(scale: float) -> tuple[int, int]:
    """A float32 scale as (mult, shift); see `scales_to_multipliers`."""
    mult, shift = scales_to_multipliers(np.array([scale]))
    return int(mult[0]), int(shift[0])


def scales_to_multipliers(scales: NDArray[np.floating]) -> tuple[I64, I64]:
    """Float32 scales as (mult, shift) with `scale == mult * 2^-shift` exactly.

    mult is the 24-bit mantissa, in [2^23, 2^24), and shift lies in 0..56; a scale below 2^-33 becomes
    (0, 0): it can only round to 0.

    Raises:
        EncodingError: one is not finite, negative, or 2^24 and more.
    """
    values = np.asarray(scales, np.float32)
    for value in values[~(np.isfinite(values) & (values >= 0))][:1]:
        raise EncodingError(f"scale {float(value)!r} is not a finite number >= 0; check the model's scales")
    for value in values[values >= np.float32(2.0**24)][:1]:
        raise EncodingError(f"scale {float(value):g} is not below 2^24; the output scale is too small for its inputs")
    mantissa, exponent = np.frexp(values)  # value = mantissa * 2^exponent, mantissa in [0.5, 1)
    small = values < np.float32(2.0**-33)
    mult = np.where(small, 0, mantissa * np.float32(1 << 24)).astype(np.int64)
    return mult, np.where(small, 0, 24 - exponent.astype(np.int64))


def quantize(
    x: NDArray[np.floating],
    scale: float,
    zero_point: int,
    rounding: int = Rounding.NEAREST_EVEN,
    kind: IntType = INT8,
) -> NDArray[Any]:
    """ONNX QuantizeLinear in float32: `saturate(rint(x / scale) + zero_point)`, or another rounding; no NaN."""
    with np.errstate(over="ignore"):  # an infinite number of steps saturates too
        steps = np.asarray(x, dtype=np.float32) / np.float32(scale)
    if rounding == Rounding.NEAREST_EVEN:
        whole = np.rint(steps)
    else:
        whole = np.floor(steps.astype(np.float64) + (0.5 if rounding == Rounding.HALF_UP else 0.0)).astype(np.float32)
    q = whole + np.float32(zero_point)
    return kind.clip(q)


def make_table(
    function: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    in_scale: float,
    in_zero: int,
    out_scale: float,
    out_zero: int,
    rounding: int = Rounding.NEAREST_EVEN,
) -> NDArray[np.int8]:
    """The 256-entry table of a unary function: entry q + 128 is quantize(f(dequantize(q)))."""
    q = INT8.values().astype(np.float32)
    x = (q - np.float32(in_zero)) * np.float32(in_scale)
    return quantize(function(x.astype(np.float32)).astype(np.float32), out_scale, out_zero, rounding)


# --- two operands -----------------------------------------------------------------------------------


def two_multipliers(a: float, b: float) -> tuple[int, int, int]:
    """(a_mult, b_mult, shift): two positive scales with one shift; the larger keeps its 24 bits.

    Raises:
        EncodingError: see `scale_to_multiplier`.
    """
    _, shift = scale_to_multiplier(max(a, b))
    return round(a * 2.0**shift), round(b * 2.0**shift), shift


def product_multipliers(product: float, c: float) -> tuple[int, int, int, int]:
    """(a_mult, c_mult, c_shift, shift) of ROW's `a * b * product + c * c_scale`.

    A product of two int16 has a scale about 2^15 finer than c; with c shifted left first both keep their 24 bits.

    Raises:
        EncodingError: see `scale_to_multiplier`.
    """
    c_shift = int(np.clip(np.floor(np.log2(max(c, 1e-30) / max(product, 1e-30))), 0, 15))
    a_mult, c_mult, shift = two_multipliers(product, c / 2.0**c_shift)
    return a_mult, c_mult, c_shift, shift


# --- tables of ROW ----------------------------------------------------------------------------------


def exponents(logit_scale: float) -> tuple[int, int, NDArray[np.int8]]:
    """(a_mult, shift, table) of ROW's mode less: entry q + 128 is round(127 exp((q - 127) step)), down to 0.

    The table reaches to where an exponent rounds to 0: step = ln(254) / 255; a logit's unit is `logit_scale` nat.
    """
    step = np.log(2.0 * TOP) / (INT8.count - 1)
    a_mult, shift = scale_to_multiplier(logit_scale / step)
    table = np.rint(TOP * np.exp(-step * np.arange(INT8.count)))
    table[-1] = 0
    return a_mult, shift, INT8.cast(table[::-1])


def dithered_exponents(logit_scale: float) -> tuple[int, int, NDArray[np.uint16]]:
    """(a_mult, shift, table) for table mode dither: entry q + 128 is round(127 * 256 exp((q - 127) step)).

    step = ln(254 * 256) / 255.
    """
    step = np.log(2.0 * TOP * 256) / (INT8.count - 1)
    a_mult, shift = scale_to_multiplier(logit_scale / step)
    table = np.rint(TOP * 256 * np.exp(-step * np.arange(INT8.count)))
    table[-1] = 0
    return a_mult, shift, table[::-1].astype("<u2")


def wide_exponents(logit_scale: float) -> tuple[int, int, NDArray[np.int16]]:
    """(a_mult, shift, steps) for int16 exponents, by `interpolate` of a logit less the maximum.

    The unit of what is interpolated is step / 256; steps are of round(T exp(-n step)) for n = 128..0, T = 127 * 257,
    and step = ln(2 T) / 128, so that the last is 0. A line between two is at most step^2 / 8 = 0.1 % above.
    """
    top = TOP * (INT8.count + 1)
    step = np.log(2.0 * top) / -INT8.lo
    a_mult, shift = scale_to_multiplier(logit_scale * INT8.count / step)
    knots = np.rint(top * np.exp(step * np.minimum(np.arange(INT8.lo, INT8.hi + 2), 0))).astype(np.int64)
    knots[0] = 0
    return a_mult, shift, INT16.cast(np.stack([knots[:-1], np.diff(knots)], axis=1))


def make_steps(
    function: Callable[[NDArray[np.floating]], NDArray[np.floating]], in_scale: float, out_scale: float
) -> NDArray[np.int16]:
    """The table of a unary function for table mode in16: int16 [256, 2], values at 256 (i - 128) and their differences.

    Raises:
        EncodingError: a difference between neighbours that int16 does not hold.
    """
    x = np.arange(INT8.lo, INT8.hi + 2) * 256 * float(in_scale)
    knots = np.clip(np.rint(function(x) / out_scale), INT16.lo, INT16.hi).astype(np.int64)
    differences = np.diff(knots)
    if not INT16.holds(differences):
        raise EncodingError(
            f"the function steps by {np.abs(differences).max()} between inputs {256 * in_scale:g} apart, "
            f"more than {INT16.hi}; use a coarser output scale"
        )
    return INT16.cast(np.stack([knots[:-1], differences], axis=1))
