"""Which words of the scratchpad engines touch, beat by beat, for a stretch in the middle of a packet's work.

Not here: what comes of it (`banks.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla_isa.banks import STRETCH, Banks, Beats, banks_of
from vla_isa.hardware import HardwareConfig
from vla_isa.numerics import ITEM_BYTES
from vla_isa.packet import Packet

__all__ = [
    "item_reads",
    "pair_reads",
    "pair_writes",
    "result_banks",
    "result_reads",
    "run_reads",
    "step_banks",
    "stretch",
]

Words = NDArray[np.int64]
_COPY_DEPTH = 8  # words that a lane of a COPY holds
_WRITES = 64  # words that a write lane of ROW holds
_PLACES = 4  # words that a residual lane of the MAC engine runs ahead once its queue is full
_LANES = 4  # read lanes of the vector engine


def stretch(count: int, beats: int) -> Words:
    """The numbers in the middle of `count` jobs of so many beats that make a stretch."""
    wanted = min(count, -(-STRETCH // max(beats, 1)) + 1)
    first = (count - wanted) // 2
    return np.arange(first, first + wanted)


def pair_reads(
    packet: Packet, planes: Sequence[tuple[str, int, bool]], items: int | None, writes: int, hw: HardwareConfig
) -> Beats:
    """Pairs of pixels of a row, and blocks in them, as ROW and REDUCE walk.

    Args:
        packet: with h, m and blocks.
        planes: operands by prefix, with their bytes, and whether one pixel stands for all.
        items: activation word of the first pixel's item, which is read before a pixel's blocks.
        writes: cycles that a block's results take.
        hw: the machine.
    """
    blocks, per_block = packet["blocks"], -(-sum(1 if still else size for _, size, still in planes) // 2)
    y, x, both = _pairs(packet, blocks * per_block)
    words = np.full((len(y), blocks, per_block * 2, 2), -1, np.int64)
    slot = 0
    for p, size, still in planes:
        for plane in range(1 if still else size):
            at = packet[f"{p}_base"] + (np.arange(blocks) * size + plane) * packet[f"{p}_pitch"]
            first = at if still else (y * packet[f"{p}_row_stride"] + x)[:, None] + at
            words[:, :, slot, 0] = first
            if still:  # both planes of the one pixel
                words[:, :, slot, 1] = first + packet[f"{p}_pitch"] if size == 2 else -1
            else:
                words[:, :, slot, 1] = np.where(both[:, None], first + 1, -1)
            slot += 1
    beats = words.reshape(len(y), blocks * per_block, _LANES)
    steps = np.ones(beats.shape[:2], np.int64)
    steps[:, ::per_block] = max(1, writes - per_block + 1)
    if items is not None:
        size = ITEM_BYTES // hw.act_word_bytes
        own = items + (y * packet["m"] + x)[:, None] * size + np.arange(_LANES)
        item = np.where(np.arange(_LANES) < (size * (1 + both))[:, None], own, -1)
        beats = np.concatenate([item[:, None], beats], axis=1)
        steps[:, 0] -= writes > per_block  # it is read while results are written
        steps = np.concatenate([np.ones((len(y), 1), np.int64), steps], axis=1)
    return Beats.of(beats.reshape(-1, _LANES), steps.ravel())


def pair_writes(packet: Packet, planes: int, reads: int) -> Beats:
    """Results of the same walk, whose blocks take `reads` cycles to be read."""
    y, x, both = _pairs(packet, packet["blocks"] * planes)
    first = packet["out_base"] + y * packet["out_row_stride"] + x
    words = first[:, None] + np.arange(packet["blocks"] * planes) * packet["out_pitch"]
    pair = np.stack([words, np.where(both[:, None], words + 1, -1)], axis=2)
    steps = np.ones(words.shape, np.int64)
    steps[:, ::planes] = max(1, reads - planes + 1)
    return Beats.of(pair.reshape(-1, 2), steps.ravel(), _WRITES, _WRITES)


def _pairs(packet: Packet, beats: int) -> tuple[Words, Words, NDArray[np.bool_]]:
    """Rows and first pixels of pairs, and whether there is a second one."""
    per_row = -(-packet["m"] // 2)
    pair = stretch(packet["h"] * per_row, beats)
    y, x = pair // per_row, 2 * (pair % per_row)
    return y, x, x + 1 < packet["m"]


def item_reads(base: int, count: int, hw: HardwareConfig) -> Beats:
    """Two items in two cycles."""
    size = 2 * ITEM_BYTES // hw.act_word_bytes
    pair = stretch(-(-count // 2), 1)
    return Beats.of(base + pair[:, None] * size + np.arange(size), 2)


def run_reads(starts: Words, length: int, lanes: int) -> Beats:
    """Runs of consecutive words, so many lanes in a cycle, as a COPY."""
    groups = -(-length // lanes)
    run = starts[stretch(len(starts), groups)]
    at = np.arange(groups)[:, None] * lanes + np.arange(lanes)
    words = np.where(at < length, run[:, None, None] + at, -1)
    return Beats.of(words.reshape(-1, lanes), 1, _COPY_DEPTH)


def step_banks(words: Words, drain: int) -> Banks:
    """The array's steps: [strips, steps, pixels] words, whose results take `drain` cycles a strip to be written."""
    steps = words.shape[1]
    return banks_of(words.reshape(-1, words.shape[2]), steps, max(0, drain - steps))


def result_banks(first: Words, pitch: int, planes: int, steps: int, hw: HardwareConfig) -> Banks:
    """What the MAC engine writes: [strips, pixels] words of the low plane, -1 none, whose strips take so many steps."""
    return step_banks(_groups(first, pitch, planes, hw), steps)


def result_reads(first: Words, pitch: int, planes: int, steps: int, hw: HardwareConfig) -> Beats:
    """What it reads for each word that it writes; the same arguments."""
    beats = _groups(first, pitch, planes, hw)
    pace = np.ones(beats.shape[:2], np.int64)
    pace[:, 0] = max(1, steps - beats.shape[1] + 1)
    return Beats.of(beats.reshape(-1, hw.requant_pixels), pace.ravel(), _PLACES)


def _groups(first: Words, pitch: int, planes: int, hw: HardwareConfig) -> Words:
    """[strips, beats, lanes] words of groups of pixels, plane after plane."""
    groups = first.reshape(len(first), -1, 1, hw.requant_pixels)
    words = np.where(groups < 0, -1, groups + (np.arange(planes) * pitch)[:, None])
    return words.reshape(len(first), -1, hw.requant_pixels)
