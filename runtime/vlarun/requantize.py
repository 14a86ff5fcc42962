"""Requantization of whole tensors: bit for bit `vla_isa.numerics`, several times faster.

The product (acc + bias) * mult is exact in float64 while |acc + bias| < 2^29 (29 + 24 = 53 bits), and so is
its scaling by 2^-shift. Where the data does not prove that bound, the int64 reference computes.
Functions of one or two int8 operands (tables, residual add, VEC) are looked up: the reference fills a
table of all 2^8 or 2^16 operand pairs once per set of parameters.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.generated.codes import Rounding
from vla_isa.packet import Packet
from vlarun.matmul import SIGN
from vlarun.memory import Records

__all__ = ["apply_pairs", "apply_table", "elementwise_pairs", "requantize", "residual_pairs", "rounded"]

EXACT_BOUND = 1 << 29

I8 = NDArray[np.int8]
I64 = NDArray[np.int64]


def requantize(acc: NDArray[np.int32], records: Records, packet: Packet, bound: int) -> I8:
    """Requantize accumulators int32 [..., N] per column with the packet's rounding, zero point and clamp.

    Args: records broadcast against acc; bound: |acc| cannot exceed it.
    """
    x = rounded(acc, records, packet["rounding"], bound)
    x += packet["out_zero"]
    q: I8 = np.clip(x, packet["lo"], packet["hi"], out=x).astype(np.int8)
    return q


def rounded(
    acc: NDArray[np.int32], records: Records, rounding: int, bound: int
) -> NDArray[np.float64] | NDArray[np.int64]:
    """`round_shift((acc + bias) * mult, shift)` of accumulators, whole numbers in a fresh array; see `requantize`."""
    bias, mult, shift = records
    largest = int(np.abs(bias).max(initial=0)) + bound
    if largest >= EXACT_BOUND:
        largest -= bound - int(np.abs(acc.astype(np.int64)).max(initial=0))
    if largest >= EXACT_BOUND:
        return numerics.round_shift((acc.astype(np.int64) + bias) * mult, shift, rounding)
    x = acc.astype(np.float64)
    x += bias.astype(np.float64)
    x *= mult * np.exp2(-shift.astype(np.float64))
    return _round(x, rounding)


def _round(x: NDArray[np.float64], rounding: int) -> NDArray[np.float64]:
    """Round exact quotients as numerics.round_shift does. Overwrites x."""
    if rounding == Rounding.NEAREST_EVEN:
        np.rint(x, out=x)
    elif rounding == Rounding.FLOOR:
        np.floor(x, out=x)
    else:
        # x - floor(x) is exact for |x| >= 1/2 and monotone elsewhere, so the test against 1/2 is exact.
        low = np.floor(x)
        x = low + (x - low >= 0.5)
    return x


def apply_table(q: I8, table: I8) -> I8:
    """Replace each q by entry q + 128 of a 256-entry table."""
    return np.take(table, q.view(np.uint8) ^ SIGN)


def apply_pairs(a: I8, b: I8, table: I8) -> I8:
    """Look up int8 pairs, broadcast against each other, in a table of 65,536 entries from `*_pairs`."""
    index = a.view(np.uint8).astype(np.uint16) << 8
    index = index | b.view(np.uint8)
    return np.take(table, index)


def _all_pairs() -> tuple[I64, I64]:
    q = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.int64)
    return q[:, None], q[None, :]


@lru_cache(maxsize=256)
def residual_pairs(record: numerics.ResidualRecord, rounding: int) -> I8:
    """CONV's residual add for every pair (own result, residual), int8 [65536]."""
    a, b = _all_pairs()
    return numerics.residual_add(a, b, record, rounding).astype(np.int8).reshape(-1)


@lru_cache(maxsize=256)
def elementwise_pairs(
    function: str,
    a_zero: int,
    b_zero: int,
    a_mult: int,
    b_mult: int,
    shift: int,
    rounding: int,
    out_zero: int,
    lo: int,
    hi: int,
) -> I8:
    """VEC's function for every pair (a, b), int8 [65536]."""
    a, b = _all_pairs()
    out = numerics.elementwise(
        function,
        a,
        b,
        a_zero=a_zero,
        b_zero=b_zero,
        a_mult=a_mult,
        b_mult=b_mult,
        shift=shift,
        rounding=rounding,
        out_zero=out_zero,
        lo=lo,
        hi=hi,
    )
    return np.broadcast_to(out, (256, 256)).astype(np.int8).reshape(-1)
