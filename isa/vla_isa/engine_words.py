"""Which words of the scratchpad engines touch, beat by beat, for a stretch of a packet's work.

Not here: what comes of it (`lanes.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa.banks import STRETCH, Banks, Beats, Result, banks_of
from vla_isa.hardware import HardwareConfig
from vla_isa.numerics import ITEM_BYTES
from vla_isa.packet import Packet

__all__ = [
    "POOL_READS",
    "VEC_READS",
    "Stretch",
    "Strips",
    "item_reads",
    "pair_reads",
    "pair_results",
    "result_reads",
    "result_words",
    "run_reads",
]

Words = NDArray[np.int64]
_COPY_DEPTH = 8  # words that a lane of a COPY holds
_PLACES = 8  # words that a residual lane of the MAC engine holds
_ROOM = 16  # strips of the array that may wait for their results to be taken
_TAKEN = 13  # cycles from the last step of a strip to the last step that waits for its first results to be taken
VEC_READS, POOL_READS = 3, 7  # cycles from where the work of an instruction begins to its first request
_ROW_READS = 4  # the same of the row engine
_RESIDUAL_READS = 8  # and of the MAC engine, for its results
_LANES = 4  # read lanes of the vector engine
_ROW_RESULTS, _ROW_SUMS = 30, 7  # cycles from taking a ROW's beat to its results, and from these to sums of pixels


@dataclass(frozen=True)
class Stretch:
    """Jobs of a packet, one behind another: `jobs` are their numbers, and of the first one a part is `done`.

    `all`: there are no more.
    """

    jobs: Words
    done: float
    all: bool

    @classmethod
    def of(cls, count: int, beats: int, done: float) -> Stretch:
        """From where a part of `count` jobs of so many beats is done, as many as are looked at."""
        first = min(int(done * count), count - 1)
        wanted = min(count - first, -(-STRETCH // max(beats, 1)) + 1)
        return cls(np.arange(first, first + wanted), done * count - first, first + wanted == count)

    def left(self, beats: Words) -> Words:
        """Without those of the first job that are done."""
        return beats[int(self.done * len(beats) / len(self.jobs)) :]


def pair_reads(
    packet: Packet,
    planes: Sequence[tuple[str, int, bool]],
    items: int | None,
    writes: int,
    hw: HardwareConfig,
    done: float,
    waits: int = 0,
) -> Beats:
    """Pairs of pixels of a row, and blocks in them, as ROW and REDUCE walk.

    Args:
        packet: with h, m and blocks.
        planes: operands by prefix, with their bytes, and whether one pixel stands for all.
        items: activation word of the first pixel's item, which is read before a pixel's blocks.
        writes: cycles that a block's results take.
        hw: the machine.
        done: part of the work.
        waits: as in `Beats`.
    """
    blocks, per_block = packet["blocks"], -(-sum(1 if still else size for _, size, still in planes) // 2)
    part, y, x, both = _pairs(packet, blocks * per_block, done)
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
    return Beats.of(
        part.left(beats.reshape(-1, _LANES)), part.left(steps.ravel()), all=part.all, starts=_ROW_READS, waits=waits
    )


def pair_results(packet: Packet, items: bool, reads: int, hw: HardwareConfig) -> tuple[Result, ...]:
    """Results of the same walk as of ROW, where a stretch is all of it, and the sums of pixels behind their blocks.

    Args:
        packet: a ROW.
        items: of its pixels are read.
        reads: beats of a block.
        hw: the machine.
    """
    blocks, planes = packet["blocks"], 1 + packet["out_bytes"]
    part, y, x, both = _pairs(packet, blocks * reads, 0)
    size, found = ITEM_BYTES // hw.act_word_bytes, list[Result]()
    for pair, row, pixel, two in zip(part.jobs.tolist(), y.tolist(), x.tolist(), both.tolist(), strict=True):
        first = packet["out_base"] + row * packet["out_row_stride"] + pixel
        for block in range(blocks):
            beat = pair * (items + blocks * reads) + items + (block + 1) * reads - 1
            for plane in range(planes):
                word = first + (block * planes + plane) * packet["out_pitch"]
                found.append(Result(beat, _ROW_RESULTS + plane, False, (word, word + 1)[: 1 + two]))
        at = packet["reduce_base"] + (row * packet["m"] + pixel) * size
        for word in range(at, at + size * packet["reduce"]):
            found.append(Result(beat, _ROW_RESULTS + _ROW_SUMS, True, (word, word + size)[: 1 + two]))
    return tuple(found)


def _pairs(packet: Packet, beats: int, done: float) -> tuple[Stretch, Words, Words, NDArray[np.bool_]]:
    """Rows and first pixels of pairs, and whether there is a second one."""
    per_row = -(-packet["m"] // 2)
    part = Stretch.of(packet["h"] * per_row, beats, done)
    y, x = part.jobs // per_row, 2 * (part.jobs % per_row)
    return part, y, x, x + 1 < packet["m"]


def item_reads(base: int, count: int, hw: HardwareConfig, done: float) -> Beats:
    """Two items in two cycles."""
    size = 2 * ITEM_BYTES // hw.act_word_bytes
    part = Stretch.of(-(-count // 2), 1, done)
    return Beats.of(base + part.jobs[:, None] * size + np.arange(size), 2, all=part.all, starts=_ROW_READS)


def run_reads(starts: Words, length: int, lanes: int, done: float, *, alone: bool) -> Beats:
    """Runs of consecutive words, so many lanes in a cycle, as a COPY, which reads while its setup goes on.

    `alone`: nothing else sets its pace.
    """
    groups = -(-length // lanes)
    part = Stretch.of(len(starts), groups, done)
    at = np.arange(groups)[:, None] * lanes + np.arange(lanes)
    words = np.where(at < length, starts[part.jobs][:, None, None] + at, -1)
    return Beats.of(part.left(words.reshape(-1, lanes)), all=part.all and alone, depth=_COPY_DEPTH)


@dataclass(frozen=True)
class Strips:
    """The array's strips in time, from its first operands on.

    The last step of one waits until there is room for its results, which are taken group by group, and then written
    plane by plane (`rtl/src/vla_mac_strips.v`).

    Attributes:
        count: of all out blocks.
        steps: cycles of each, on average.
        groups: of its results; planes: of each.
        first: cycles from its last step to its first results.
    """

    count: int
    steps: float
    groups: int
    planes: int
    first: int

    def banks(self, at: int, words: Callable[[Words], Words]) -> Banks:
        """What the array takes in the cycles from `at` on; `words` has the [strips, steps, pixels] words of some."""
        strip = np.arange(self.count)
        room = self.steps + _TAKEN + (self.groups - 1) * self.planes + (strip - _ROOM) * self.groups * self.planes
        ends = np.maximum((strip + 1) * self.steps, np.where(strip < _ROOM, 0, room)).astype(np.int64)
        return _from(np.append(0, ends[:-1]), ends, at, words)

    def results(self, at: int, words: Callable[[Words], Words]) -> Banks:
        """The same of its results, [strips, beats, lanes]."""
        pace = max(self.steps, self.groups * self.planes)
        starts = (self.first + self.steps - 1 + np.arange(self.count) * pace).astype(np.int64)
        return _from(starts, starts, at, words)


def _from(starts: Words, ends: Words, at: int, words: Callable[[Words], Words]) -> Banks:
    """Banks of strips whose first cycle is not before `starts`, and whose last one is just before `ends`, or later."""
    first, last = (int(np.searchsorted(starts, time, "right")) for time in (at, at + STRETCH))
    strips = np.arange(max(0, first - 1), last)
    cycles, end = [0] * STRETCH, 0
    banks = banks_of(words(strips)) if len(strips) else []
    for start, until, strip in zip((starts[strips] - at).tolist(), (ends[strips] - at).tolist(), banks, strict=True):
        times = [*range(start, start + len(strip) - 1), max(until, start + len(strip)) - 1]
        for time, taken in zip(times, strip, strict=True):
            if 0 <= time < STRETCH:
                cycles[time] = taken
        end = times[-1] + 1
    return tuple(cycles[: STRETCH if last < len(starts) else max(0, end)])


def result_reads(words: Words, steps: int, first: int, all: bool) -> Beats:
    """What it reads for each of [strips, beats, lanes] words that it writes, of strips of so many steps."""
    pace = np.ones(words.shape[:2], np.int64)
    pace[:, 0] = max(1, steps - words.shape[1] + 1)
    return Beats.of(
        words.reshape(-1, words.shape[2]),
        pace.ravel(),
        all=all,
        depth=_PLACES,
        starts=_RESIDUAL_READS,
        waits=first + steps,
    )


def result_words(first: Words, pitch: int, planes: int, hw: HardwareConfig) -> Words:
    """[strips, beats, lanes] words of groups of pixels, plane after plane, of [strips, pixels] words of the low one."""
    groups = first.reshape(len(first), -1, 1, hw.requant_pixels)
    words: Words = np.where(groups < 0, -1, groups + (np.arange(planes) * pitch)[:, None])
    return words.reshape(len(first), -1, hw.requant_pixels)
