"""Records in parameter memory and in the scratchpad, and the items of row vectors: bytes and their values.

A row vector is 16 bytes per pixel in the activation scratchpad, in pixel order: an item (a value of 64 bits and a
second one of 32) or a row record (the eight bytes of a channel record, the rest zero).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa.errors import EncodingError
from vla_isa.numerics.rounding import I64, IntLike, wrap32

__all__ = [
    "ITEM_BYTES",
    "MAX_SHIFT",
    "RECORD_BYTES",
    "RESIDUAL_BYTES",
    "ResidualRecord",
    "item_index",
    "pack_items",
    "pack_records",
    "pack_row_records",
    "unpack_items",
    "unpack_records",
    "unpack_signed_records",
]

RECORD_BYTES = 8
RESIDUAL_BYTES = 12
ITEM_BYTES = 16
MAX_SHIFT = 63


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


def unpack_signed_records(data: NDArray[np.uint8]) -> tuple[I64, I64, I64]:
    """As `unpack_records`, with mult negative where bit 62 of a record is set (ROW's function channel)."""
    bias, mult, shift = unpack_records(data)
    negative = (np.asarray(data, np.uint8)[..., 7] >> 6) & 1
    return bias, np.where(negative == 1, -mult, mult), shift


# --- row vectors ------------------------------------------------------------------------------------


def pack_items(value: IntLike, second: IntLike = 0) -> NDArray[np.int8]:
    """Items, int8 [..., 16]: `value:i64 | second:i32 | 4 zero bytes`, little endian; both wrap to their width."""
    v = np.asarray(value, np.int64)
    s = np.broadcast_to(wrap32(second), v.shape)
    out = np.zeros((*v.shape, ITEM_BYTES), np.int8)
    out[..., :8] = v[..., None].astype("<i8").view(np.int8)
    out[..., 8:12] = s[..., None].astype("<i4").view(np.int8)
    return out


def unpack_items(data: NDArray[np.int8]) -> tuple[I64, I64]:
    """The inverse of `pack_items`: int8 [..., 16] to int64 (value, second), each [...]."""
    d = np.ascontiguousarray(data, np.int8)
    value, second = d[..., :8].view("<i8")[..., 0], d[..., 8:12].view("<i4")[..., 0]
    return value.astype(np.int64), second.astype(np.int64)


def item_index(value: IntLike) -> I64:
    """An item's value as the machine takes it for a number of rows or registers: its low 32 bits, signed."""
    return wrap32(value)


def pack_row_records(bias: IntLike, mult: IntLike, shift: IntLike) -> NDArray[np.int8]:
    """Row records, int8 [..., 16]: the eight bytes of a channel record, the rest zero; no value is refused."""
    b, m, s = np.broadcast_arrays(*(np.asarray(x, np.int64) for x in (bias, mult, shift)))
    low = wrap32(b) & 0xFFFFFFFF | (m & 0xFFFFFF) << 32 | (s & 63) << 56
    return pack_items(low)


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
