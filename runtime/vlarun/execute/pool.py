"""POOL: maximum or average over windows, one axis after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.generated.codes import PoolCount, PoolMode
from vla_isa.integer import INT8
from vla_isa.packet import Packet
from vlarun.memory import Bytes, Machine, act_region

__all__ = ["execute", "window_scales"]

Array = NDArray[Any]


def execute(packet: Packet, machine: Machine) -> None:
    """Read the input (and the records of an average); write the output region."""
    block, blocks = machine.hw.block, packet["in_blocks"]
    x = machine.read_act(act_region(packet, "in", block, rows=packet["in_h"], width=packet["in_w"], blocks=blocks))
    q = _average(packet, machine, x) if packet["mode"] == PoolMode.AVERAGE else _maximum(packet, x)
    channel = np.arange(blocks * block).reshape(blocks, 1, block)
    q = np.where(channel < packet["channels"], q, np.int8(packet["out_zero"]))
    out = act_region(packet, "out", block, rows=packet["out_h"], width=packet["out_w"], blocks=blocks)
    machine.write_act(out, q)


def _maximum(packet: Packet, x: Bytes) -> Bytes:
    """int8 [H, blocks, W, B] to the maxima, int8 [out_h, blocks, out_w, B]."""
    rows = _windows(packet, x, 0, "h", "pad_top", INT8.lo)
    best: Bytes = np.max(_windows(packet, np.max(rows, axis=1), 2, "w", "pad_left", INT8.lo), axis=3)
    return best


def _average(packet: Packet, machine: Machine, x: Bytes) -> Bytes:
    """int8 [H, blocks, W, B] to the averages, int8 [out_h, blocks, out_w, B]."""
    centred = x.astype(np.int32) - packet["in_zero"]
    rows = _windows(packet, centred, 0, "h", "pad_top", 0).sum(axis=1, dtype=np.int32)
    total = _windows(packet, rows, 2, "w", "pad_left", 0).sum(axis=3, dtype=np.int32)
    mult, shift = (r[:, None, :, None] for r in window_scales(packet, machine))
    q = numerics.average(total, mult, shift, packet["rounding"], packet["out_zero"], packet["lo"], packet["hi"])
    return q.astype(np.int8)


def window_scales(packet: Packet, machine: Machine) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Multiplier and shift of every window of an average, int64 [out_h, out_w]."""
    record = np.zeros((packet["out_h"], packet["out_w"]), np.int64)
    if packet["count"] == PoolCount.VALID:
        taps = np.multiply.outer(_taps(packet, "h", "pad_top"), _taps(packet, "w", "pad_left"))
        record = np.maximum(taps - 1, 0)
    records = machine.records_at(packet["param_base"], int(record.max()) // machine.hw.block + 1)
    return records.mult[record], records.shift[record]


def _windows(packet: Packet, x: Array, axis: int, side: str, pad: str, fill: int) -> Array:
    """A view of the windows along `axis`, which becomes two axes: windows and taps, outside = `fill`."""
    count, kernel, stride = packet[f"out_{side}"], packet[f"kernel_{side}"], packet[f"stride_{side}"]
    before = packet[pad]
    need = (count - 1) * stride + kernel
    shape = list(x.shape)
    shape[axis] = need
    padded = np.full(shape, fill, x.dtype)
    keep = max(0, min(x.shape[axis], need - before))
    inside = [slice(None)] * x.ndim
    taken = list(inside)
    inside[axis], taken[axis] = slice(before, before + keep), slice(0, keep)
    padded[tuple(inside)] = x[tuple(taken)]
    step = padded.strides[axis]
    shape[axis : axis + 1] = [count, kernel]
    strides = list(padded.strides)
    strides[axis : axis + 1] = [step * stride, step]
    return np.ndarray(tuple(shape), x.dtype, buffer=padded, strides=tuple(strides))


def _taps(packet: Packet, side: str, pad: str) -> NDArray[np.int64]:
    """How many taps of each window lie inside the input, int64 [windows]."""
    first = np.arange(packet[f"out_{side}"]) * packet[f"stride_{side}"] - packet[pad]
    last = np.minimum(first + packet[f"kernel_{side}"], packet[f"in_{side}"])
    inside: NDArray[np.int64] = np.maximum(last - np.maximum(first, 0), 0)
    return inside
