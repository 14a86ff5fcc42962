"""Channel maps: which logical channel lies at each channel position, -1 for padding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["grouped_map", "in_channel_order", "padded_map", "real_channels"]

I64 = NDArray[np.int64]


def padded_map(channels: int, block: int) -> I64:
    """Channels in order from position 0, padded to whole blocks."""
    channel_map = np.full(-(-channels // block) * block, -1, np.int64)
    channel_map[:channels] = np.arange(channels)
    return channel_map


def grouped_map(channels: int, groups: int, block: int) -> I64:
    """Channels in order, in so many groups of one size, each from a block on."""
    one = padded_map(channels // groups, block)
    first = channels // groups * np.arange(groups)[:, None]
    return np.where(one < 0, -1, one + first).reshape(-1)


def in_channel_order(channel_map: I64) -> bool:
    """Whether logical channels lie in ascending order, padding between them allowed."""
    return bool((channel_map[channel_map >= 0] == np.arange((channel_map >= 0).sum())).all())


def real_channels(channel_map: I64, chunk: tuple[int, int], block: int) -> int:
    """How many channels lie in channel blocks [first, last)."""
    return int((channel_map[chunk[0] * block : chunk[1] * block] >= 0).sum())
