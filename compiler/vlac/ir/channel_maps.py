"""Channel maps: which logical channel lies at each channel position, -1 for padding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["in_channel_order", "padded_lanes", "real_channels"]

I64 = NDArray[np.int64]


def padded_lanes(channels: int, block: int) -> I64:
    """Channels in order from position 0, padded to whole blocks."""
    lanes = np.full(-(-channels // block) * block, -1, np.int64)
    lanes[:channels] = np.arange(channels)
    return lanes


def in_channel_order(lanes: I64) -> bool:
    """Whether logical channels lie in ascending order, padding between them allowed."""
    return bool((lanes[lanes >= 0] == np.arange((lanes >= 0).sum())).all())


def real_channels(lanes: I64, chunk: tuple[int, int], block: int) -> int:
    """How many channels lie in channel blocks [first, last)."""
    return int((lanes[chunk[0] * block : chunk[1] * block] >= 0).sum())
