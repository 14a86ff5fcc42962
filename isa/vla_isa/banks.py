"""How fast engines use the scratchpad side by side: its lanes cycle by cycle, for a stretch of each one's work.

A bank gives one word in a cycle, and takes one. The MAC engine always gets its own; the lanes of the others ask anew
until they do, lanes of an engine before those of the next (`rtl/src/vla_act_memory.v`). A lane runs ahead of its
engine's other lanes, and ahead of its engine, by no more words than their queues hold (`rtl/src/vla_read_lane.v`).
What engines touch depends on their packets alone, so a stretch in the middle of both stands for all of their work.
Not here: which words a packet touches (`engine_words.py`), who works beside whom (`queues.py`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vla_isa.hardware import BANKS

__all__ = ["STRETCH", "Banks", "Beats", "banks_of", "paces"]

STRETCH = 384  # beats of an engine, and cycles, that are looked at
_WARM = 32  # of these cycles until queues are full
_ON_THE_WAY = 5  # cycles from a granted request to its word

Banks = tuple[int, ...]  # of each cycle the banks that the MAC engine takes, a bit for each


@dataclass(frozen=True)
class Beats:
    """What the lanes of an engine read or write, in the order of its work.

    Attributes:
        words: of each beat (lane, word) where a lane has one.
        steps: the cycles that the engine needs alone from the beat before to each of them.
        depth: words that a lane holds.
        ahead: words that a lane asks for before the others of its walk have asked for theirs.
        walk: lanes that ask for the words of a beat at one time; 0: all of them.
    """

    words: tuple[tuple[tuple[int, int], ...], ...]
    steps: tuple[int, ...]
    depth: int
    ahead: int
    walk: int = 0

    @classmethod
    def of(
        cls, words: NDArray[np.int64], steps: NDArray[np.int64] | int = 1, depth: int = 16, ahead: int = 2,
        walk: int = 0,
    ) -> Beats:  # fmt: skip
        """The middle of [beats, lanes] words, -1 where a lane has none."""
        first = max(0, len(words) - STRETCH) // 2
        pace = np.broadcast_to(np.asarray(steps), len(words))[first : first + STRETCH]
        some = [
            tuple((lane, word) for lane, word in enumerate(beat) if word >= 0)
            for beat in words[first : first + STRETCH].tolist()
        ]
        return cls(tuple(some), tuple(pace.tolist()), depth, ahead, walk)


def banks_of(words: NDArray[np.int64], period: int, idle: int) -> Banks:
    """What the MAC engine takes in the cycles of its beats.

    Args:
        words: [beats, lanes], -1 where a lane has none; words of one bank come one after the other.
        period: beats of a strip.
        idle: cycles before the last one of them, which waits for room behind the array.
    """
    cycles: list[int] = []
    for number, beat in enumerate(words.tolist(), 1):
        if number % period == 0:
            cycles.extend([0] * idle)
        left = {w for w in beat if w >= 0}
        while True:
            now = {word % BANKS: word for word in left}
            cycles.append(sum(1 << bank for bank in now))
            left -= set(now.values())
            if not left:
                break
    return tuple(cycles)


@lru_cache(maxsize=4096)
def paces(first: Banks, engines: tuple[Beats, ...]) -> tuple[float, ...]:
    """Of engines beside the MAC engine (empty: it does not run), the speed of each as a part of its own."""
    lanes = [_Lanes(beats) for beats in engines]
    for now in range(STRETCH):
        taken = first[now % len(first)] if first else 0
        busy: dict[int, int] = {}
        for engine in lanes:
            engine.cycle(now, taken, busy)
    return tuple(min(1.0, engine.work / (STRETCH - _WARM)) for engine in lanes)


class _Lanes:
    """The lanes of an engine."""

    def __init__(self, beats: Beats) -> None:
        self._beats = beats
        count = 1 + max((lane for beat in beats.words for lane, _ in beat), default=0)
        self._asked: list[deque[tuple[int, int]]] = [deque() for _ in range(count)]  # (beat, word) of each lane
        self._held = [0] * count  # words granted and not taken
        self._missing: deque[int] = deque()  # words that each beat waits for, the oldest first
        self._there: deque[int] = deque()  # when the last word of each of them is there
        self._walks = _walks(beats, count)
        self._next = [0] * len(self._walks)  # beat that each walk asks for
        self._oldest = 0  # beat to be taken
        self._free = 0  # when the engine takes the next one
        self.work = 0

    def cycle(self, now: int, taken: int, busy: dict[int, int]) -> None:
        """One cycle; `busy` are banks, and the words that lanes before these ask for."""
        self._take(now)
        asking = [walk for walk in range(len(self._walks)) if self._room(walk)]
        for lane, asked in enumerate(self._asked):
            if not asked or self._held[lane] >= self._beats.depth:
                continue
            number, word = asked[0]
            bank = word % BANKS
            if busy.setdefault(bank, word) != word or taken >> bank & 1:
                continue
            asked.popleft()
            self._held[lane] += 1
            self._missing[number - self._oldest] -= 1
            self._there[number - self._oldest] = now + _ON_THE_WAY
        for walk in asking:
            self._ask(walk)

    def _room(self, walk: int) -> bool:
        """Whether all its lanes take an address."""
        words = self._walks[walk]
        return all(len(self._asked[lane]) < self._beats.ahead for lane, _ in words[self._next[walk] % len(words)])

    def _ask(self, walk: int) -> None:
        """A walk's part of its next beat."""
        words, number = self._walks[walk], self._next[walk]
        for lane, word in words[number % len(words)]:
            self._asked[lane].append((number, word))
        if number - self._oldest == len(self._missing):
            self._missing.append(len(self._beats.words[number % len(words)]))
            self._there.append(0)
        self._next[walk] += 1

    def _take(self, now: int) -> None:
        """The engine takes the oldest beat, if it is whole."""
        if not self._missing or self._missing[0] or now < max(self._there[0], self._free):
            return
        number = self._oldest % len(self._beats.words)
        for lane, _ in self._beats.words[number]:
            self._held[lane] -= 1
        if now >= _WARM:
            self.work += self._beats.steps[number]
        self._oldest += 1
        self._free = now + self._beats.steps[self._oldest % len(self._beats.words)]
        self._missing.popleft()
        self._there.popleft()


def _walks(beats: Beats, lanes: int) -> list[tuple[tuple[tuple[int, int], ...], ...]]:
    """Of each walk the words of every beat."""
    size = beats.walk or lanes
    return [
        tuple(tuple((lane, word) for lane, word in beat if lane // size == walk) for beat in beats.words)
        for walk in range(-(-lanes // size))
    ]
