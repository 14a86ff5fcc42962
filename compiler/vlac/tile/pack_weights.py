"""Weights as the array reads them: words of B x B bytes in the order [out block][live in block][ky][kx].

Channel maps of input and output are applied here, so padding lanes get zero weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa.generated.codes import MaskMode
from vla_isa.hardware import HardwareConfig
from vlac.device.conv import ConvOp
from vlac.device.gemm import GemmOp

__all__ = ["PackedWeights", "pack_weights"]


@dataclass
class PackedWeights:
    """Words int8 [n, B * B]; `starts[o]` is the first word of out block o, `starts[-1]` their number.

    `live` bool [out blocks, in blocks] says which blocks exist; `mode` is CONV's mask mode.
    """

    words: NDArray[np.int8]
    starts: NDArray[np.int64]
    live: NDArray[np.bool_]
    mode: int


def pack_weights(op: ConvOp | GemmOp, hw: HardwareConfig) -> PackedWeights:
    """The packed weights of a layer whose tensors have their channel maps."""
    weight = op.weight if isinstance(op, ConvOp) else op.weight[:, :, None, None]
    source, target = op.inputs[0].lane_map(), op.output.lane_map()
    if isinstance(op, ConvOp) and op.group > 1:
        dense = _spread_groups(weight, op.group, source, target)
    else:
        dense = _pick(_pick(weight, target, 0), source, 1)
    b = hw.block
    outs, ins, kh, kw = len(target) // b, len(source) // b, *weight.shape[2:]
    blocks = dense.reshape(outs, b, ins, b, kh, kw).transpose(0, 2, 4, 5, 1, 3)
    live = np.asarray(blocks.any(axis=(2, 3, 4, 5)))
    mode = _mode(live, hw) if isinstance(op, ConvOp) else MaskMode.DENSE
    if mode == MaskMode.DENSE:
        live = np.ones_like(live)
    elif mode == MaskMode.DIAGONAL:
        live = np.eye(outs, ins, dtype=np.bool_)
    words = np.ascontiguousarray(blocks[live]).reshape(-1, b * b)
    starts = np.concatenate(([0], np.cumsum(live.sum(axis=1)))) * kh * kw
    return PackedWeights(words, starts.astype(np.int64), live, mode)


def _mode(live: NDArray[np.bool_], hw: HardwareConfig) -> int:
    """Dense, unless blocks are missing: then the diagonal mask where it covers all, else the bit mask."""
    outs, ins = live.shape
    if live.all():
        return MaskMode.DENSE
    if outs == ins and not (live & ~np.eye(outs, dtype=np.bool_)).any():
        return MaskMode.DIAGONAL if outs > 1 else MaskMode.DENSE
    return MaskMode.MASK if ins <= 8 * hw.param_word_bytes else MaskMode.DENSE


def _pick(weight: NDArray[np.int8], lanes: NDArray[np.int64], axis: int) -> NDArray[np.int8]:
    """Channels of `axis` in lane order, zero where a lane is padding."""
    shape = list(weight.shape)
    shape[axis] = 1
    return np.concatenate([weight, np.zeros(shape, np.int8)], axis=axis).take(lanes, axis=axis)


def _spread_groups(
    weight: NDArray[np.int8], group: int, source: NDArray[np.int64], target: NDArray[np.int64]
) -> NDArray[np.int8]:
    """A grouped weight [O, I / group, kh, kw] as a dense one over lanes, zero outside the groups."""
    out_channels, per_group = weight.shape[:2]
    position = np.zeros(group * per_group, np.int64)
    position[source[source >= 0]] = np.flatnonzero(source >= 0)
    dense = np.zeros((len(target), len(source), *weight.shape[2:]), np.int8)
    rows = np.flatnonzero(target >= 0)
    channels = target[rows]
    first = channels // (out_channels // group) * per_group
    columns = position[first[:, None] + np.arange(per_group)]
    dense[rows[:, None], columns] = weight[channels]
    return dense
