"""Weights over channel positions: which blocks of them exist. Channel maps of input and output are applied here.

Not here: the words (`emit/pack_weights`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.generated.codes import MaskMode
from vla_isa.hardware import HardwareConfig
from vlac.ir.cut import WeightLayout, Weights

__all__ = ["over_positions", "weight_layout"]

I64 = NDArray[np.int64]


def weight_layout(weights: Weights, source: I64, target: I64, hw: HardwareConfig) -> WeightLayout:
    """The blocks of weights that exist between the channel maps of input and output."""
    b, taps = hw.block, weights.values.shape[2] * weights.values.shape[3]
    used = over_positions(np.asarray(weights.values.any(axis=(2, 3))), weights.group, source, target)
    live = np.asarray(used.reshape(len(target) // b, b, len(source) // b, b).any(axis=(1, 3)))
    mode = _mode(live, hw) if weights.maskable else MaskMode.DENSE
    mode = MaskMode.MASK if weights.by_task else mode
    if mode == MaskMode.DENSE or weights.by_task:
        live = np.ones_like(live)
    elif mode == MaskMode.DIAGONAL:
        live = np.eye(*live.shape, dtype=np.bool_)
    starts = np.concatenate(([0], np.cumsum(live.sum(axis=1)))) * taps
    return WeightLayout(starts.astype(np.int64), live, mode)


def over_positions(values: NDArray[Any], group: int, source: I64, target: I64) -> NDArray[Any]:
    """Values [O, I / group, ...] as [output positions, input positions, ...]: zero at padding and outside groups."""
    if group == 1:
        return _pick(_pick(values, target, 0), source, 1)
    out_channels, per_group = values.shape[:2]
    position = np.zeros(group * per_group, np.int64)
    position[source[source >= 0]] = np.flatnonzero(source >= 0)
    dense = np.zeros((len(target), len(source), *values.shape[2:]), values.dtype)
    rows = np.flatnonzero(target >= 0)
    channels = target[rows]
    first = channels // (out_channels // group) * per_group
    columns = position[first[:, None] + np.arange(per_group)]
    dense[rows[:, None], columns] = values[channels]
    return dense


def _pick(values: NDArray[Any], channel_map: I64, axis: int) -> NDArray[Any]:
    """Channels of `axis` in the order of the positions, zero where a position is padding."""
    shape = list(values.shape)
    shape[axis] = 1
    return np.concatenate([values, np.zeros(shape, values.dtype)], axis=axis).take(channel_map, axis=axis)


def _mode(live: NDArray[np.bool_], hw: HardwareConfig) -> int:
    """Dense, unless blocks are missing: then the diagonal mask where it covers all, else the bit mask."""
    outs, ins = live.shape
    if live.all():
        return MaskMode.DENSE
    if outs == ins and not (live & ~np.eye(outs, dtype=np.bool_)).any():
        return MaskMode.DIAGONAL if outs > 1 else MaskMode.DENSE
    return MaskMode.MASK if ins <= 8 * hw.param_word_bytes else MaskMode.DENSE
