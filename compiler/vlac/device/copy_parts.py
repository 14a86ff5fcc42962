"""Parts of channels that a copy moves: where they lie in channel maps, or which maps it needs.

Every part begins on a channel block, so that words are moved whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vlac.ir.channel_maps import padded_map

__all__ = ["Parts", "found", "numbered", "padding", "wanted"]

I64 = NDArray[np.int64]


@dataclass
class Parts:
    """First channel block of each part of each input and of the output, and how many blocks the latter have."""

    in_starts: list[list[int]] = field(default_factory=list)
    out_starts: list[int] = field(default_factory=list)
    out_blocks: list[int] = field(default_factory=list)


def wanted(parts: list[I64], block: int) -> tuple[I64, list[int]]:
    """A channel map in which every part starts on a block, and their first blocks."""
    maps = [numbered(p, padded_map(len(p), block)) for p in parts]
    starts = np.cumsum([0, *(len(m) // block for m in maps)])
    return np.concatenate(maps), [int(s) for s in starts[:-1]]


def numbered(channels: I64, channel_map: I64) -> I64:
    """A map of the numbers of `channels` as one of the channels."""
    return np.where(channel_map < 0, -1, channels[channel_map])


def found(channel_map: I64, parts: list[I64], block: int) -> list[int] | None:
    """The first block of each part in a channel map, where each lies in order from the start of a block."""
    starts = []
    for part in parts:
        at = np.flatnonzero(channel_map == part[0])
        if len(at) != 1 or at[0] % block or not np.array_equal(channel_map[at[0] : at[0] + len(part)], part):
            return None
        starts.append(int(at[0]) // block)
    return starts


def padding(channel_map: I64, part: I64, start: int, block: int) -> I64:
    """What a channel map has behind a part that begins on block `start`, up to the end of the part's last block."""
    end = start * block + len(part)
    return channel_map[end : end + -len(part) % block]
