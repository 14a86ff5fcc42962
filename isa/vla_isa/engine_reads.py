"""Which words of the scratchpad engines read, beat by beat, for a stretch in the middle of a packet's work.

Not here: what comes of it (`banks.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla_isa.banks import STRETCH, Operands, Reads, operands, reads
from vla_isa.hardware import HardwareConfig
from vla_isa.numerics import ITEM_BYTES
from vla_isa.packet import Packet

__all__ = ["array_operands", "item_reads", "pair_reads", "run_reads", "stretch"]

Words = NDArray[np.int64]
_COPY_DEPTH = 8  # words that a lane of a COPY holds
_LANES = 4  # of the vector engine


def stretch(count: int, beats: int) -> Words:
    """The numbers in the middle of `count` jobs of so many beats that make a stretch."""
    wanted = min(count, -(-STRETCH // max(beats, 1)) + 1)
    first = (count - wanted) // 2
    return np.arange(first, first + wanted)


def pair_reads(
    packet: Packet, planes: Sequence[tuple[str, int, bool]], items: int | None, writes: int, hw: HardwareConfig
) -> Reads:
    """Pairs of pixels of a row, and blocks in them, as ROW and REDUCE walk.

    Args:
        packet: with h, m and blocks.
        planes: operands by prefix, with their bytes, and whether one pixel stands for all.
        items: activation word of a pixel's item, read before its blocks.
        writes: cycles that a block's results take.
        hw: the machine.
    """
    per_row, blocks = -(-packet["m"] // 2), packet["blocks"]
    slots = sum(1 if still else size for _, size, still in planes)
    per_block = -(-slots // 2)
    beats = blocks * per_block + (items is not None)
    pair = stretch(packet["h"] * per_row, beats)
    y, x = pair // per_row, 2 * (pair % per_row)
    both = x + 1 < packet["m"]
    words = np.full((len(pair), blocks, per_block * 2, 2), -1, np.int64)
    slot = 0
    for p, size, still in planes:
        for plane in range(1 if still else size):
            plane_of = np.arange(blocks) * size + plane
            at = packet[f"{p}_base"] + plane_of * packet[f"{p}_pitch"]
            if still:  # both planes of the one pixel
                words[:, :, slot, 0] = at
                words[:, :, slot, 1] = at + packet[f"{p}_pitch"] if size == 2 else -1
            else:
                first = (y * packet[f"{p}_row_stride"] + x)[:, None] + at
                words[:, :, slot, 0] = first
                words[:, :, slot, 1] = np.where(both[:, None], first + 1, -1)
            slot += 1
    flat = words.reshape(len(pair), blocks * per_block, _LANES)
    steps = np.ones(flat.shape[:2], np.int64)
    steps[:, ::per_block] = max(1, writes - per_block + 1)
    if items is not None:
        own = items + (y * packet["m"] + x)[:, None] * (ITEM_BYTES // hw.act_word_bytes) + np.arange(_LANES)
        count = ITEM_BYTES // hw.act_word_bytes * (1 + both)
        first = np.where(np.arange(_LANES) < count[:, None], own, -1)
        flat = np.concatenate([first[:, None], flat], axis=1)
        if writes > per_block:  # it is read while results are written
            steps[:, 0] -= 1
        steps = np.concatenate([np.ones((len(pair), 1), np.int64), steps], axis=1)
    return reads(flat.reshape(-1, _LANES), steps.ravel())


def item_reads(base: int, count: int, hw: HardwareConfig) -> Reads:
    """Two items in two cycles."""
    size = 2 * ITEM_BYTES // hw.act_word_bytes
    pair = stretch(-(-count // 2), 1)
    return reads(base + pair[:, None] * size + np.arange(size), 2)


def run_reads(starts: Words, length: int, lanes: int) -> Reads:
    """Runs of consecutive words, so many lanes in a cycle, as a COPY."""
    groups = -(-length // lanes)
    run = starts[stretch(len(starts), groups)]
    at = np.arange(groups)[:, None] * lanes + np.arange(lanes)
    words = np.where(at < length, run[:, None, None] + at, -1)
    return reads(words.reshape(-1, lanes), 1, _COPY_DEPTH)


def array_operands(words: Words, drain: int) -> Operands:
    """The array's steps: [strips, steps, pixels] words, -1 none, whose results take `drain` cycles a strip."""
    strips = words.shape[0]
    steps = words.shape[1]
    return operands(words.reshape(strips * steps, -1), steps, max(0, drain - steps))
