"""Tensors on their way into the data space and out of it: quantized, packed, unpacked, dequantized, each in one pass.

Each gives what its namesake in `vla_isa` gives, which also does it where the library cannot: without g++, or for a
tensor that no strides describe.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa import layout, numerics
from vla_isa.hardware import LINE_BYTES
from vla_isa.layout import TensorLayout
from vlarun.native.binding import Tensor, library

__all__ = ["dequantize", "pack_into", "quantize", "unpack"]

Bytes = NDArray[np.int8]
Array = NDArray[Any]


def quantize(x: Array, scale: float, zero_point: int) -> Bytes:
    """Real numbers, none of them NaN, to the nearest int8 of the same shape."""
    found = library()
    if found is None or x.dtype != np.float32:
        return numerics.quantize(x, scale, zero_point)
    q, x = np.empty(x.shape, np.int8), np.ascontiguousarray(x)
    found.vla_quantize(x.ctypes.data, x.size, scale, zero_point, q.ctypes.data)
    return q


def dequantize(q: Bytes, scale: float, zero_point: int) -> NDArray[np.float32]:
    """`(q - zero_point) * scale` in float32, of the same shape."""
    found = library()
    if found is None or q.dtype != np.int8:
        real: NDArray[np.float32] = (q.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
        return real
    x, q = np.empty(q.shape, np.float32), np.ascontiguousarray(q)
    found.vla_dequantize(q.ctypes.data, q.size, scale, zero_point, x.ctypes.data)
    return x


def pack_into(data: Bytes, q: Bytes, tensor: TensorLayout, fill: int) -> None:
    """Pack int8 of the ONNX shape into the bytes of a tensor, int8 [lines * 64]."""
    found, source = library(), _positions(np.ascontiguousarray(q), tensor)
    if found is None or tensor.planes != 1 or q.dtype != np.int8:
        data[:] = layout.pack(q, tensor, fill)
        return
    t = _strided(source, tensor)
    found.vla_pack(ctypes.byref(t), source.ctypes.data, data.ctypes.data, fill)


def unpack(data: Bytes, tensor: TensorLayout) -> Array:
    """Integers of the ONNX shape from the bytes of a tensor."""
    found, q = library(), np.empty(tensor.shape, np.int8)
    target = _positions(q, tensor)
    if found is None or tensor.planes != 1 or not np.may_share_memory(q, target):
        return layout.unpack(data, tensor)
    data = np.ascontiguousarray(data)
    t = _strided(target, tensor)
    found.vla_unpack(ctypes.byref(t), data.ctypes.data, target.ctypes.data)
    return q


def _positions(q: Bytes, tensor: TensorLayout) -> Bytes:
    """An array of the ONNX shape as [rows, pixels, channels], a view where strides can say it."""
    return q.reshape(tensor.view).transpose(tensor.permutation).reshape(tensor.h, tensor.w, tensor.c)


def _strided(hwc: Bytes, tensor: TensorLayout) -> Tensor:
    channel = _channels(tensor)
    row_bytes = tensor.row_lines * LINE_BYTES
    padded = tensor.blocks * tensor.block != tensor.c or row_bytes != tensor.w * tensor.block
    return Tensor(
        *(tensor.h, tensor.w, tensor.blocks, tensor.block, row_bytes),
        *(*hwc.strides, padded),
        channel.ctypes.data,
    )


@lru_cache(maxsize=256)
def _channels(tensor: TensorLayout) -> NDArray[np.int32]:
    """The logical channel of each stored one, or -1."""
    found = np.full(tensor.blocks * tensor.block, -1, np.int32)
    found[tensor.positions()] = np.arange(tensor.c)
    return found
