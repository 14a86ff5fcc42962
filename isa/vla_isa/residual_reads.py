"""How long a GEMM waits for its own residual or records: their lanes get the banks that its operands leave free.

The array's steps never wait for banks, and go on while there is room for complete strips; results are written in order,
each with what was read for it (`rtl/src/vla_mac_place.v`). Where a strip's results take longer than its steps, words
that come late hold up all that follows. The first strips, cycle by cycle, stand for all of them.
Not here: other engines, whose lanes come behind (`banks.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vla_isa.hardware import BANKS, HardwareConfig

__all__ = ["Reads", "Strip", "waiting"]

LONGEST = 512  # entries that are looked at
_ROOM = 16  # complete strips
_CREDITS, _QUEUED, _ASKED, _HELD = 32, 16, 2, 8  # entries on the way and behind; a lane's addresses, and its words
_PLACED = 4  # cycles from the first operands to the first address
_FREED = range(3, 11)  # cycles from a strip's last results to the operands of another
_STRIP, _WORD = 9, 4  # cycles from a strip's last operands to its sums, and from a granted word to its release

Words = NDArray[np.int64]
Strip = tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]
"""Banks of its operands in each cycle, a bit for each; of each entry of its results the banks that are read for it."""


@dataclass(frozen=True)
class Reads:
    """What a batch of a GEMM reads.

    Attributes:
        operands: [strips, steps, pixels] words, -1 where there is none.
        first: [strips, pixels] words that are read for out block 0, -1 where there is none.
        pitch: from plane to plane of them; read, written: planes of a block.
        items: words of a pixel's maximum, behind the last block.
    """

    operands: Words
    first: Words
    pitch: int
    read: int
    written: int
    items: int

    def strips(self, blocks: int, lanes: int) -> tuple[Strip, ...]:
        """Those of the first out blocks, in order, until there are enough entries."""
        banks = [_taken(steps) for steps in self.operands.tolist()]
        groups = self.first.reshape(len(self.first), -1, lanes).tolist()
        found: list[Strip] = []
        entries = 0
        for block in range(blocks):
            for steps, strip in zip(banks, groups, strict=True):
                made = self._entries([g for g in strip if max(g) >= 0], block, block == blocks - 1)
                found.append((steps, made))
                entries += len(made)
                if entries >= LONGEST:
                    return tuple(found)
        return tuple(found)

    def _entries(self, groups: list[list[int]], block: int, last: bool) -> tuple[tuple[int, ...], ...]:
        made: list[tuple[int, ...]] = []
        for group in groups:
            for plane in range(self.written):
                shift = (block * self.read + plane) * self.pitch
                words = [(word + shift) % BANKS for word in group if word >= 0]
                made.append(tuple(words) if plane < self.read else ())
            made += [()] * (self.items * last)
        return tuple(made)

    def entries(self, blocks: int, hw: HardwareConfig) -> int:
        """Of a batch."""
        groups = int((self.first.reshape(-1, hw.requant_pixels) >= 0).any(axis=1).sum())
        return groups * (blocks * self.written + self.items)


def _taken(steps: list[list[int]]) -> tuple[int, ...]:
    """The banks of a strip's operands; words of one bank come one after the other."""
    cycles: list[int] = []
    for words in steps:
        left = {w for w in words if w >= 0}
        while left:
            now = {word % BANKS: word for word in left}
            cycles.append(sum(1 << bank for bank in now))
            left -= set(now.values())
    return tuple(cycles)


@lru_cache(maxsize=1024)
def waiting(strips: tuple[Strip, ...], entries: int) -> int:
    """Cycles that `entries` results, the first of which are those of these strips, wait for what is read for them.

    Which operands meet which words depends on a few cycles that are not the same in every packet: a mean over them.
    """
    seen = sum(len(made) for _, made in strips)
    late = sum(_written(strips, freed) - _written(strips, freed, alone=True) for freed in _FREED) / len(_FREED)
    return round(late * entries / max(seen, 1))


class _Array:
    """The array's steps, as far as there is room for complete strips."""

    def __init__(self, strips: Sequence[Strip], freed: int) -> None:
        self._strips, self._delay, self._room = strips, freed, _ROOM
        self._strip = self._step = 0
        self._freed: deque[int] = deque()
        self.ready: dict[int, int] = {}  # when a strip's sums are there

    def banks(self, now: int) -> int:
        """Those that it takes in a cycle."""
        while self._freed and self._freed[0] <= now:
            self._freed.popleft()
            self._room += 1
        if self._strip == len(self._strips) or not (self._step or self._room):
            return 0
        steps = self._strips[self._strip][0]
        taken = steps[self._step]
        self._room -= not self._step
        self._step += 1
        if self._step == len(steps):
            self.ready[self._strip] = now + _STRIP
            self._strip, self._step = self._strip + 1, 0
        return taken

    def write(self, now: int) -> None:
        """A strip's last results are written."""
        self._freed.append(now + self._delay)


def _written(strips: Sequence[Strip], freed: int, *, alone: bool = False) -> int:
    """The cycle in which the last results are written; `alone`: nothing takes the banks."""
    reads = [(number, banks) for number, (_, entries) in enumerate(strips) for banks in entries]
    array, lanes = _Array(strips, freed), _Lanes(max(len(banks) for _, banks in reads))
    asked = written = now = 0
    while written < len(reads):
        taken = array.banks(now)
        strip = reads[written][0]
        if written < lanes.released and array.ready.get(strip, now + 1) <= now:
            written += 1
            if written == len(reads) or reads[written][0] > strip:
                array.write(now)
        lanes.cycle(now, 0 if alone else taken)
        wanted = now >= _PLACED and asked < len(reads)
        if wanted and asked - written < _CREDITS and asked - lanes.released < _QUEUED and lanes.free():
            lanes.ask(reads[asked][1])
            asked += 1
        now += 1
    return now


class _Lanes:
    """What is read for entries on the way, a lane for each pixel of a group."""

    def __init__(self, count: int) -> None:
        self._waits: list[deque[tuple[int, int]]] = [deque() for _ in range(count)]  # entry and bank
        self._held = [0] * count
        self._entries: deque[list[int]] = deque()  # of each its words, those missing, when all are there
        self.released = 0

    def free(self) -> bool:
        """Whether every lane takes an address."""
        return all(len(lane) < _ASKED for lane in self._waits)

    def ask(self, banks: tuple[int, ...]) -> None:
        """The words of an entry, one in each of its lanes."""
        number = self.released + len(self._entries)
        for lane, bank in zip(self._waits, banks, strict=False):
            lane.append((number, bank))
        self._entries.append([len(banks), len(banks), 0])

    def cycle(self, now: int, taken: int) -> None:
        """Release the oldest entry, if it is whole; each lane asks for its oldest word, the first of them first."""
        if self._entries and not self._entries[0][1] and self._entries[0][2] <= now:
            for lane in range(self._entries.popleft()[0]):
                self._held[lane] -= 1
            self.released += 1
        for lane, waits in enumerate(self._waits):
            if not waits or self._held[lane] >= _HELD or taken >> waits[0][1] & 1:
                continue
            number, bank = waits.popleft()
            taken |= 1 << bank
            self._held[lane] += 1
            entry = self._entries[number - self.released]
            entry[1] -= 1
            entry[2] = now + _WORD
