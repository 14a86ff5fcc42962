"""How long the array's results wait for their own residual or records: their lanes get the banks that
operands leave free.

The array's steps never wait for banks, and go on while there is room for complete strips; groups of results are taken
in order, each with what was read for it (`rtl/src/vla_mac_place.v`, `vla_mac_drain.v`). Where the first strips of many
wait ever longer, so do all of them; how long the last ones wait is looked at besides.
Not here: other engines, whose lanes come behind (`side_by_side.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vla_isa.banks import banks_of
from vla_isa.hardware import BANKS

__all__ = ["Strip", "strips_of", "waiting", "waits"]

_LONGEST, _CYCLES = 256, 1024  # entries that are looked at, and operands
_LEAST = 8  # strips that are
_ROOM = 16  # complete strips
_CREDITS, _QUEUED, _ASKED, _HELD = 32, 16, 2, 8  # entries on the way and behind; a lane's addresses, and its words
_PLACED = 3  # cycles from the first address to the first operands, less one for each lane
_FREED = 5  # from taking a strip's last results to the operands of another
_STRIP, _WORD = 8, 4  # from a strip's last operands to its first results, and from a granted word to its release
_WRITTEN = 12  # from taking a result to the next entry that may be placed

Words = NDArray[np.int64]
Group = tuple[tuple[tuple[int, ...], ...], int]
"""Results that are taken at once: of each entry the banks that are read for it, and the words behind them."""
Strip = tuple[tuple[int, ...], tuple[Group, ...]]
"""Banks of its operands in each cycle, a bit for each, and its results."""


def waits(count: int, steps: int, entries: int, found: Callable[[Words], tuple[Strip, ...]]) -> int:
    """Cycles that all results wait for what is read for them.

    Args:
        count: of strips.
        steps: of a strip; entries: of its results.
        found: the strips of some numbers.
    """
    if not steps:  # a task masks all that is read: no operands take banks
        return 0
    some = max(_LEAST, min(_LONGEST // entries, _CYCLES // steps)) // 2 * 2
    if count <= some:
        return waiting(found(np.arange(count)))
    more = waiting(found(np.arange(some))) - waiting(found(np.arange(some // 2)))
    last = waiting(found(np.arange(count - some, count)))
    return last + max(0, round(more / (some // 2) * (count - some)))


def strips_of(operands: Words, reads: Words, items: Words) -> tuple[Strip, ...]:
    """Strips by their banks.

    Args:
        operands: [strips, steps, pixels] words, -1 where there is none.
        reads: [strips, groups, entries, lanes] words that are read for results, -1 where there is none.
        items: [strips] words behind each group.
    """
    groups = [
        tuple(
            (tuple(tuple(w % BANKS for w in entry if w >= 0) for entry in group), behind)
            for group in strip
            if max(group[0]) >= 0
        )
        for strip, behind in zip(reads.tolist(), items.tolist(), strict=True)
    ]
    return tuple((tuple(banks), made) for banks, made in zip(banks_of(operands), groups, strict=True))


@lru_cache(maxsize=1024)
def waiting(strips: tuple[Strip, ...]) -> int:
    """Cycles that results wait for what is read for them."""
    return _through(strips) - _through(strips, alone=True)


class _Array:
    """The array's steps: the last one of a strip waits until there is room for it."""

    def __init__(self, strips: Sequence[Strip]) -> None:
        self._strips, self._room = strips, _ROOM
        self._strip = self._step = 0
        self._freed: deque[int] = deque()
        self.ready: dict[int, int] = {}  # when a strip's sums are there

    def banks(self, now: int) -> int:
        """Those that it takes in a cycle."""
        while self._freed and self._freed[0] <= now:
            self._freed.popleft()
            self._room += 1
        if now < 0 or self._strip == len(self._strips):
            return 0
        steps = self._strips[self._strip][0]
        last = self._step == len(steps) - 1
        if last and not self._room:
            return 0
        taken = steps[self._step]
        self._step += 1
        if last:
            self._room -= 1
            self.ready[self._strip] = now + _STRIP
            self._strip, self._step = self._strip + 1, 0
        return taken

    def taken(self, now: int) -> None:
        """A strip's last results are."""
        self._freed.append(now + _FREED)


def _through(strips: Sequence[Strip], *, alone: bool = False) -> int:
    """The cycle behind which the last results are taken; `alone`: nothing takes the banks."""
    groups = [(number, group) for number, (_, made) in enumerate(strips) for group in made]
    reads = [banks for _, (words, items) in groups for banks in (*words, *[()] * items)]
    array, lanes = _Array(strips), _Lanes(max(len(banks) for banks in reads))
    back = deque[int]()  # when entries that were taken are written
    taken = asked = place = free = 0  # groups, entries that were asked for, and were taken; when the next group may be
    placed = lanes.count - _PLACED
    now = min(0, placed)
    while taken < len(groups):
        banks = array.banks(now)
        strip, (words, items) = groups[taken]
        wanted = now >= placed and asked < len(reads) and lanes.free
        wanted = wanted and asked - place + len(back) < _CREDITS and asked - lanes.released < _QUEUED
        if lanes.released >= place + len(words) and array.ready.get(strip, now + 1) <= now and now >= free:
            free = now + len(words) + items
            back.extend(range(now + _WRITTEN, free + _WRITTEN))
            place, taken = place + len(words) + items, taken + 1
            if taken == len(groups) or groups[taken][0] > strip:
                array.taken(now)
        lanes.cycle(now, 0 if alone else banks)
        while back and back[0] <= now:
            back.popleft()
        if wanted:
            lanes.ask(reads[asked])
            asked += 1
        now += 1
    return free


class _Lanes:
    """What is read for entries on the way, a lane for each pixel of a group."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._waits: list[list[tuple[int, int]]] = [[] for _ in range(count)]  # (entry, bank), the oldest first
        self._held = [0] * count
        self._entries: deque[list[int]] = deque()  # of each its words, those missing, when all are there
        self.released = 0
        self.free = True  # every lane takes an address

    def ask(self, banks: tuple[int, ...]) -> None:
        """The words of an entry, one in each of its lanes."""
        number = self.released + len(self._entries)
        for lane, bank in zip(self._waits, banks, strict=False):
            lane.append((number, bank))
            self.free &= len(lane) < _ASKED
        self._entries.append([len(banks), len(banks), 0])

    def cycle(self, now: int, taken: int) -> None:
        """Release the oldest entry, if it is whole; each lane asks for its oldest word, the first of them first."""
        if self._entries and not self._entries[0][1] and self._entries[0][2] <= now:
            for lane in range(self._entries.popleft()[0]):
                self._held[lane] -= 1
            self.released += 1
        self.free = True
        for lane, waits in enumerate(self._waits):
            if not waits:
                continue
            number, bank = waits[0]
            if self._held[lane] < _HELD and not taken >> bank & 1:
                del waits[0]
                taken |= 1 << bank
                self._held[lane] += 1
                entry = self._entries[number - self.released]
                entry[1] -= 1
                entry[2] = now + _WORD
            self.free &= len(waits) < _ASKED
