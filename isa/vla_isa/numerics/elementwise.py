"""Arithmetic of CONV, POOL and VEC: int8 results, one value after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vla_isa.errors import EncodingError
from vla_isa.integer import INT8
from vla_isa.numerics.records import ResidualRecord
from vla_isa.numerics.rounding import I64, IntLike, clamp, round_shift, wrap32

__all__ = ["apply_table", "average", "elementwise", "requantize", "residual_add"]


def requantize(
    acc: IntLike, bias: IntLike, mult: IntLike, shift: IntLike, rounding: int, zero_point: int, lo: int, hi: int
) -> I64:
    """Accumulator (int32) to int8: `clamp(round_shift((acc + bias) * mult, shift) + zero_point, lo, hi)`.

    The sum has 33 bits and the product 57; nothing wraps.
    """
    t = np.asarray(acc, dtype=np.int64) + np.asarray(bias, dtype=np.int64)
    p = t * np.asarray(mult, dtype=np.int64)
    return clamp(round_shift(p, shift, rounding) + zero_point, lo, hi)


def average(total: IntLike, mult: IntLike, shift: IntLike, rounding: int, zero_point: int, lo: int, hi: int) -> I64:
    """POOL's average: requantize the sum of (x - zero point) over a window; the sum wraps at 32 bits."""
    return requantize(wrap32(total), 0, mult, shift, rounding, zero_point, lo, hi)


def apply_table(q: IntLike, table: NDArray[np.int8]) -> I64:
    """Replace each int8 q by entry q + 128 of a 256-entry int8 table."""
    return table.astype(np.int64)[np.asarray(q, dtype=np.int64) - INT8.lo]


def residual_add(a: IntLike, b: IntLike, record: ResidualRecord, rounding: int) -> I64:
    """`clamp(round_shift((a - za) * ma + (b - zb) * mb, s) + zo, lo, hi)` of two int8 tensors."""
    p = (np.asarray(a, dtype=np.int64) - record.a_zero) * record.a_mult
    p = p + (np.asarray(b, dtype=np.int64) - record.b_zero) * record.b_mult
    return clamp(round_shift(p, record.shift, rounding) + record.out_zero, record.lo, record.hi)


def elementwise(
    function: str,
    a: IntLike,
    b: IntLike,
    *,
    a_zero: int,
    b_zero: int,
    a_mult: int,
    b_mult: int,
    shift: int,
    rounding: int,
    out_zero: int,
    lo: int,
    hi: int,
) -> I64:
    """VEC: `clamp(round_shift(f(a, b), shift) + out_zero, lo, hi)`; see the table for each f.

    Raises:
        EncodingError: unknown function.
    """
    x = np.asarray(a, dtype=np.int64) - a_zero
    y = np.asarray(b, dtype=np.int64) - b_zero
    n = clamp(y, -15, 15)
    functions: dict[str, Callable[[], I64]] = {
        "add": lambda: x * a_mult + y * b_mult,
        "sub": lambda: x * a_mult - y * b_mult,
        "mul": lambda: x * y * a_mult,
        "max": lambda: np.maximum(x * a_mult, y * b_mult),
        "min": lambda: np.minimum(x * a_mult, y * b_mult),
        "abs": lambda: np.abs(x) * a_mult + 0 * y,
        "shift": lambda: np.where(n >= 0, x << np.maximum(n, 0), x >> np.maximum(-n, 0)) * a_mult,
        "select": lambda: np.where(y > 0, x, 0) * a_mult,
    }
    if function not in functions:
        raise EncodingError(f"elementwise function '{function}' does not exist; there are {', '.join(functions)}")
    return clamp(round_shift(functions[function](), shift, rounding) + out_zero, lo, hi)
