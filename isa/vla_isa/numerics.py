"""All device arithmetic, in int64 numpy: the binding reference for every backend and for the RTL.

Floats appear in `scales_to_multipliers` and in the builders of tables only. Every function takes and
returns arrays (or ints) of any shape and broadcasts; results are int64 unless said otherwise.

Sources: ONNX operator specification (QuantizeLinear rounds to nearest even), IEEE 754 binary32.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.errors import EncodingError
from vla_isa.generated.codes import Rounding
from vla_isa.integer import INT8, IntType

__all__ = [
    "RECORD_BYTES",
    "RESIDUAL_BYTES",
    "ResidualRecord",
    "apply_table",
    "average",
    "clamp",
    "elementwise",
    "make_table",
    "pack_records",
    "quantize",
    "requantize",
    "requantize_scale",
    "residual_add",
    "round_shift",
    "scale_to_multiplier",
    "scales_to_multipliers",
    "unpack_records",
    "wrap32",
]

I64 = NDArray[np.int64]
IntLike = Any  # int or integer array; numpy broadcasts

RECORD_BYTES = 8
RESIDUAL_BYTES = 12
MAX_SHIFT = 63


def wrap32(x: IntLike) -> I64:
    """Wrap to a signed 32-bit accumulator, modulo 2^32."""
    wrapped: I64 = ((np.asarray(x, dtype=np.int64) + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)
    return wrapped


def clamp(x: IntLike, lo: IntLike, hi: IntLike) -> I64:
    """`min(max(x, lo), hi)`: the lower bound first, so lo > hi gives hi."""
    clamped: I64 = np.minimum(np.maximum(np.asarray(x, dtype=np.int64), lo), hi)
    return clamped


def round_shift(p: IntLike, shift: IntLike, rounding: int) -> I64:
    """Shift right by 0..63 and round; `p` is exact in 57 bits.

    rounding 0: nearest, ties to even. 1: half up, `(p + (1 << (shift-1))) >> shift`. 2: floor.
    A shift of 0 returns p.
    """
    p = np.asarray(p, dtype=np.int64)
    s = np.asarray(shift, dtype=np.int64)
    r: I64
    if rounding == Rounding.FLOOR:
        r = p >> s
        return r
    # half is 0 where shift is 0, so nothing is added there; p + 2^62 stays inside int64.
    half = np.where(s > 0, np.int64(1) << np.maximum(s - 1, 0), 0)
    if rounding == Rounding.HALF_UP:
        r = (p + half) >> s
        return r
    if rounding == Rounding.NEAREST_EVEN:
        # half up, less one where it was a tie that landed on an odd number
        r = (p + half) >> s
        tie = (s > 0) & ((p & ~(np.int64(-1) << s)) == half)
        r = r - (tie & ((r & 1) == 1))
        return r
    raise EncodingError(f"rounding {rounding} does not exist; use 0 (nearest even), 1 (half up) or 2 (floor)")


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


# --- scales: the only floats ------------------------------------------------------------------------


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


# --- records in parameter memory --------------------------------------------------------------------


def pack_records(bias: IntLike, mult: IntLike, shift: IntLike) -> NDArray[np.uint8]:
    """Per-channel records, 8 bytes each, little endian: `bias:i32 | mult:u24 | shift:u6 | 2 reserved`.

    Args: three arrays of shape [N]. Returns uint8 [N, 8].

    Raises:
        EncodingError: a value outside its field, or a mult that is neither 0 nor in [2^23, 2^24).
    """
    b, m, s = (np.atleast_1d(np.asarray(v, dtype=np.int64)) for v in (bias, mult, shift))
    if ((b < -(1 << 31)) | (b >= (1 << 31))).any():
        raise EncodingError("a bias does not fit in int32; the compiler must refuse this layer")
    if ((m != 0) & ((m < (1 << 23)) | (m >= (1 << 24)))).any():
        raise EncodingError("a multiplier is neither 0 nor in [2^23, 2^24)")
    if ((s < 0) | (s > MAX_SHIFT)).any():
        raise EncodingError(f"a shift is outside 0..{MAX_SHIFT}")
    out = np.zeros((b.size, RECORD_BYTES), np.uint8)
    out[:, 0:4] = b.astype("<i4").view(np.uint8).reshape(-1, 4)
    out[:, 4:7] = m.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :3]
    out[:, 7] = s
    return out


def unpack_records(data: NDArray[np.uint8]) -> tuple[I64, I64, I64]:
    """The inverse of `pack_records`: uint8 [..., 8] to int64 (bias, mult, shift), each [...]."""
    d = np.ascontiguousarray(data, dtype=np.uint8).astype(np.int64)
    bias = d[..., 0] | (d[..., 1] << 8) | (d[..., 2] << 16) | (d[..., 3] << 24)
    mult = d[..., 4] | (d[..., 5] << 8) | (d[..., 6] << 16)
    return wrap32(bias), mult, d[..., 7] & 0x3F


@dataclass(frozen=True)
class ResidualRecord:
    """How CONV adds a residual: 12 bytes at the start of a parameter word, little endian.

    Layout: `a_mult:u24 | shift:u8 (6 used) | b_mult:u24 | a_zero | b_zero | out_zero | lo | hi`, five i8.
    a is the convolution's own int8 result, b the residual tensor.
    """

    a_mult: int
    b_mult: int
    shift: int
    a_zero: int
    b_zero: int
    out_zero: int
    lo: int
    hi: int

    def pack(self) -> bytes:
        """The 12 bytes.

        Raises:
            EncodingError: a value outside its field.
        """
        if not (0 <= self.a_mult < 1 << 24 and 0 <= self.b_mult < 1 << 24 and 0 <= self.shift <= MAX_SHIFT):
            raise EncodingError(f"residual record out of range: {self}")
        try:
            tail = struct.pack("<5b", self.a_zero, self.b_zero, self.out_zero, self.lo, self.hi)
        except struct.error as e:
            raise EncodingError(f"residual record out of range: {self}") from e
        head = self.a_mult.to_bytes(3, "little") + bytes([self.shift])
        return head + self.b_mult.to_bytes(3, "little") + tail

    @classmethod
    def unpack(cls, data: bytes) -> ResidualRecord:
        """The inverse of `pack`; reads 12 bytes, ignores the two unused bits of shift."""
        a_zero, b_zero, out_zero, lo, hi = struct.unpack("<5b", data[7:12])
        return cls(
            int.from_bytes(data[0:3], "little"),
            int.from_bytes(data[4:7], "little"),
            data[3] & 0x3F,
            a_zero,
            b_zero,
            out_zero,
            lo,
            hi,
        )
