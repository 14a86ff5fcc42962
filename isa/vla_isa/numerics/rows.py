"""Arithmetic of GEMM's int16 results, of ROW and of REDUCE: values of many bits, constants of each pixel.

Operands are signed integers of at most 18 bits; every product below has fewer than 58 bits and is exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_isa.integer import INT8, INT16
from vla_isa.numerics.rounding import I64, IntLike, clamp, clamp18, round_shift, saturate16

__all__ = [
    "MASKED",
    "channel",
    "dithered",
    "interpolate",
    "less",
    "linear",
    "masked_logits",
    "moments",
    "normalize",
    "pairs",
    "product",
    "requantize16",
    "residual16",
    "topk_mask",
]

MASKED = INT16.lo  # a logit that takes no part in a softmax


# --- GEMM -------------------------------------------------------------------------------------------


def requantize16(acc: IntLike, bias: IntLike, mult: IntLike, shift: IntLike, rounding: int) -> I64:
    """Accumulator (int32) to int16: `sat16(round_shift((acc + bias) * mult, shift))`; the zero point is 0."""
    return saturate16(_scaled(acc, bias, mult, shift, rounding))


def residual16(acc: IntLike, bias: IntLike, mult: IntLike, shift: IntLike, rounding: int, res: IntLike) -> I64:
    """`sat16(clamp18(round_shift((acc + bias) * mult, shift)) + res)`, res an int16 of the output's scale."""
    return saturate16(clamp18(_scaled(acc, bias, mult, shift, rounding)) + res)


def masked_logits(
    acc: IntLike, bias: IntLike, mult: IntLike, shift: IntLike, rounding: int, res: IntLike, valid: IntLike
) -> I64:
    """As `residual16`, down to -32767; -32768 where `valid` is False, or the residual is -32768."""
    x = clamp(clamp18(_scaled(acc, bias, mult, shift, rounding)) + res, INT16.lo + 1, INT16.hi)
    logits: I64 = np.where(np.asarray(valid) & (np.asarray(res) != MASKED), x, MASKED)
    return logits


def _scaled(acc: IntLike, bias: IntLike, mult: IntLike, shift: IntLike, rounding: int) -> I64:
    t = np.asarray(acc, np.int64) + np.asarray(bias, np.int64)
    return round_shift(t * np.asarray(mult, np.int64), shift, rounding)


# --- ROW: what happens to a first -------------------------------------------------------------------


def interpolate(a: IntLike, steps: NDArray[np.int16]) -> I64:
    """A function of int16 between 256 points: `v[i] + ((d[i] * f + 128) >> 8)`, i = (a >> 8) + 128, f = a & 255.

    Args:
        a: saturated to int16 first.
        steps: int16 [256, 2], v and d.
    """
    q = saturate16(a)
    value, difference = steps.astype(np.int64).T
    at = (q >> 8) + 128
    result: I64 = value[at] + ((difference[at] * (q & 255) + 128) >> 8)
    return result


def less(a: IntLike, item: IntLike) -> I64:
    """`a` less the pixel's item, saturated to 18 bits."""
    return clamp18(np.asarray(a, np.int64) - item)


def normalize(a: IntLike, k: IntLike, bias: IntLike, mult: IntLike, shift: IntLike, rounding: int) -> I64:
    """`sat16(round_shift((a * k + bias) * mult, shift))`, by the pixel's record; k has 14 bits."""
    t = np.asarray(a, np.int64) * k + bias
    return saturate16(round_shift(t * mult, shift, rounding))


# --- ROW: functions, before zero point and clamp -----------------------------------------------------


def linear(a: IntLike, c: IntLike, *, a_mult: int, c_mult: int, c_shift: int, shift: int, rounding: int) -> I64:
    """`round_shift(a * a_mult + (c << c_shift) * c_mult, shift)`."""
    p = np.asarray(a, np.int64) * a_mult + (np.asarray(c, np.int64) << c_shift) * c_mult
    return round_shift(p, shift, rounding)


def product(
    a: IntLike, b: IntLike, c: IntLike, *, a_mult: int, c_mult: int, c_shift: int, shift: int, rounding: int
) -> I64:
    """`round_shift(a * b * a_mult + (c << c_shift) * c_mult, shift)`, b of 17 bits."""
    ab = np.asarray(a, np.int64) * b
    return linear(ab, c, a_mult=a_mult, c_mult=c_mult, c_shift=c_shift, shift=shift, rounding=rounding)


def pairs(
    a: IntLike, b: IntLike, c: IntLike, *, a_mult: int, c_mult: int, c_shift: int, shift: int, rounding: int
) -> I64:
    """`product` of two int16 as pairs of int8: of the low bytes, and of the high ones, one added to the other."""
    (low_a, high_a), (low_b, high_b) = _bytes(a), _bytes(b)
    ab = low_a * low_b + high_a * high_b
    return linear(ab, c, a_mult=a_mult, c_mult=c_mult, c_shift=c_shift, shift=shift, rounding=rounding)


def _bytes(q: IntLike) -> tuple[I64, I64]:
    """The low and the high byte of int16, each as int8."""
    q = np.asarray(q, np.int64)
    return ((q & 255) ^ 128) - 128, q >> 8


def channel(a: IntLike, bias: IntLike, mult: IntLike, shift: IntLike, rounding: int) -> I64:
    """`round_shift((a + bias) * mult, shift)`, by the channel's record; mult has a sign."""
    return _scaled(a, bias, mult, shift, rounding)


def dithered(q: IntLike, table: NDArray[np.uint16], column: IntLike) -> I64:
    """`min((table[q + 128] + D) >> 8, 127)` for int8 q; D is the low byte of the column with its bits reversed.

    The pattern is the same in all rows, so that cutting rows into bands changes nothing.
    """
    low = np.asarray(column, np.int64) & 255
    d: I64 = np.zeros_like(low)
    for bit in range(8):
        d |= ((low >> bit) & 1) << (7 - bit)
    entry = table.astype(np.int64)[np.asarray(q, np.int64) - INT8.lo]
    return clamp((entry + d) >> 8, 0, INT8.hi)


# --- REDUCE, over the last axis ---------------------------------------------------------------------


def moments(q: IntLike, count: int) -> tuple[I64, I64]:
    """(count * sum(q^2) - (sum q)^2, sum q) of rows: of `count` values count^2 times the variance, the sum."""
    q = np.asarray(q, np.int64)
    total: I64 = q.sum(axis=-1)
    return count * (q * q).sum(axis=-1) - total * total, total


def topk_mask(q: IntLike, k: int) -> I64:
    """1 for the k largest values of a row, among equals for those of lower index, else 0."""
    q = np.asarray(q, np.int64)
    order = np.argsort(-q, axis=-1, kind="stable")
    mask: I64 = np.zeros_like(q)
    np.put_along_axis(mask, order[..., :k], 1, axis=-1)
    return mask
