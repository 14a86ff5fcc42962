"""How fast engines read the scratchpad side by side: its lanes cycle by cycle, for a stretch of each one's work.

A bank gives one word in a cycle. The operands of the MAC engine always get theirs; the lanes of the others ask anew
until they do, lanes of an engine before those of the next (`rtl/src/vla_act_memory.v`). A lane runs ahead of its engine's
other lanes by two words at most, and so many words ahead of its engine as its queue holds (`rtl/src/vla_read_lane.v`).
What engines read depends on their packets alone, so a stretch in the middle of both stands for all of their work.
Not here: which words a packet reads (`instructions/`), who works beside whom (`queues.py`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vla_isa.hardware import BANKS

__all__ = ["STRETCH", "Operands", "Reads", "operands", "paces", "reads"]

STRETCH = 192  # beats of an engine, and cycles, that are looked at
_WARM = 32  # of these cycles until queues are full
_AHEAD = 2  # words that a lane asks for before the others have asked for theirs
_ON_THE_WAY = 5  # cycles from a granted request to its word

Operands = tuple[int, ...]  # of each cycle the banks that the array reads, a bit for each


@dataclass(frozen=True)
class Reads:
    """What the lanes of an engine read.

    Attributes:
        beats: of each beat the words, a number for each lane that reads.
        steps: the cycles that the engine needs from the beat before to each of them.
        depth: words that a lane holds.
    """

    beats: tuple[tuple[tuple[int, int], ...], ...]
    steps: tuple[int, ...]
    depth: int


def reads(words: NDArray[np.int64], steps: NDArray[np.int64] | int = 1, depth: int = 16) -> Reads:
    """The reads of [beats, lanes] words, -1 where a lane has none, of which the middle is looked at."""
    first = max(0, len(words) - STRETCH) // 2
    part = words[first : first + STRETCH]
    pace = np.broadcast_to(np.asarray(steps), len(words))[first : first + STRETCH]
    part = np.where(part < 0, -1, part % (BANKS << 8))
    beats = tuple(tuple((lane, word) for lane, word in enumerate(beat) if word >= 0) for beat in part.tolist())
    return Reads(beats, tuple(pace.tolist()), depth)


def operands(words: NDArray[np.int64], strip: int, idle: int) -> Operands:
    """The banks of the array's steps.

    Args:
        words: [steps, pixels], -1 where a pixel reads none; words of one bank come one after the other.
        strip: steps of a strip.
        idle: cycles of a strip in which the array waits for its results to be written.
    """
    cycles: list[int] = []
    for number, step in enumerate(words.tolist(), 1):
        left = {w for w in step if w >= 0}
        while True:
            now: dict[int, int] = {}
            for word in left:
                now.setdefault(word % BANKS, word)
            cycles.append(sum(1 << bank for bank in now))
            left -= set(now.values())
            if not left:
                break
        if number % strip == 0:
            cycles.extend([0] * idle)
    return tuple(cycles)


@lru_cache(maxsize=4096)
def paces(array: Operands, engines: tuple[Reads, ...]) -> tuple[float, ...]:
    """Of engines that read beside the array (empty: it does not run), the speed of each as a part of its own."""
    lanes = [_Lanes(reads) for reads in engines]
    for now in range(STRETCH):
        taken = array[now % len(array)] if array else 0
        busy: dict[int, int] = {}
        for engine in lanes:
            engine.cycle(now, taken, busy)
    return tuple(min(1.0, engine.work / (STRETCH - _WARM)) for engine in lanes)


class _Lanes:
    """The read lanes of an engine."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        count = 1 + max((lane for beat in reads.beats for lane, _ in beat), default=0)
        self._asked: list[deque[tuple[int, int]]] = [deque() for _ in range(count)]  # (beat, word) of each lane
        self._held = [0] * count  # words granted and not taken
        self._missing: deque[int] = deque()  # words that each beat waits for, the oldest first
        self._there: deque[int] = deque()  # when the last word of each of them came
        self._next = 0  # beat to be asked for
        self._oldest = 0  # beat to be taken
        self._free = 0  # when the engine takes the next one
        self.work = 0

    def cycle(self, now: int, taken: int, busy: dict[int, int]) -> None:
        """One cycle; `busy` are banks and words that lanes before these got."""
        self._take(now)
        beat = self._reads.beats[self._next % len(self._reads.beats)]
        room = all(len(self._asked[lane]) < _AHEAD for lane, _ in beat)
        for lane, asked in enumerate(self._asked):
            if not asked or self._held[lane] >= self._reads.depth:
                continue
            number, word = asked[0]
            bank = word % BANKS
            if taken >> bank & 1 or busy.get(bank, word) != word:
                busy.setdefault(bank, word)
                continue
            busy[bank] = word
            asked.popleft()
            self._held[lane] += 1
            self._missing[number - self._oldest] -= 1
            self._there[number - self._oldest] = now + _ON_THE_WAY
        if room:
            for lane, word in beat:
                self._asked[lane].append((self._next, word))
            self._missing.append(len(beat))
            self._there.append(0)
            self._next += 1

    def _take(self, now: int) -> None:
        """The engine takes the oldest beat, if it is whole."""
        if not self._missing or self._missing[0] or now < max(self._there[0], self._free):
            return
        number = self._oldest % len(self._reads.beats)
        for lane, _ in self._reads.beats[number]:
            self._held[lane] -= 1
        if now >= _WARM:
            self.work += self._reads.steps[number]
        self._oldest += 1
        self._free = now + self._reads.steps[self._oldest % len(self._reads.beats)]
        self._missing.popleft()
        self._there.popleft()
