"""The lanes of engines at the scratchpad, cycle by cycle.

A bank gives one word in a cycle, and takes one. The MAC engine always gets its own; the lanes of the others ask anew
until they do, lanes of an engine before those of the next (`rtl/src/vla_act_memory.v`). A lane runs ahead of its
engine's other lanes, and ahead of its engine, by no more words than their queues hold (`rtl/src/vla_read_lane.v`).
Not here: who works beside whom (`side_by_side.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from copy import copy
from heapq import heappop, heappush

from vla_isa.banks import Banks, Beats, Result
from vla_isa.hardware import BANKS

__all__ = ["Lanes", "run"]

_ON_THE_WAY = 5  # cycles from a granted request to its word
_FIRST = 1 + _ON_THE_WAY  # from where a lane asks to the first word
_WARM = 32  # cycles until the queues of an engine that works already are full
_WRITES = 60  # results that may wait for a write lane (`rtl/src/vla_row_writer.v`)
_BACKLOG = 48  # of these, those on the way where nothing holds them up
_OFTEN = 16  # cycles after which one looks whether all is through
_Part = Sequence[tuple[int, int]]


class Lanes:
    """Those of an engine, from where it is on.

    Attributes:
        now: cycles until now.
    """

    def __init__(self, beats: Beats, *, begun: bool = False) -> None:
        """With empty queues; `begun`: a part of its work is done."""
        self.now = 0
        self._beats, self._begun, self._starts = beats, begun, max(0, beats.starts - 1)
        count = 1 + max((lane for beat in beats.words for lane, _ in beat), default=0)
        self._asked: list[deque[tuple[int, int]]] = [deque() for _ in range(count)]  # (beat, word) of each lane
        self._held = [0] * count  # words granted and not taken
        size = beats.walk or count
        self._walks = [range(first, min(count, first + size)) for first in range(0, count, size)]
        self._parts = [_part(beats, walk, count) for walk in self._walks]
        self._next = [0] * len(self._walks)  # beat that each walk asks for
        self._first = self._starts + _FIRST + (0 if begun else beats.waits)  # when the first beat is taken at best
        takers = self._walks if beats.windows else [range(count)]
        self._takers = [_Taker(_part(beats, lanes, count), self._first) for lanes in takers]
        self._of = [next(t for t, lanes in enumerate(takers) if lane in lanes) for lane in range(count)]
        self._writer, self._alone = _Writer(beats.results), -1
        self._done = min(taker.next for taker in self._takers)  # beats that are taken
        self._taken = 0  # when the last beat was
        self._before = 0  # beats that were while queues were not full

    def copied(self) -> Lanes:
        """Another one that is where this one is."""
        made = copy(self)
        made._asked = [copy(asked) for asked in self._asked]
        made._held, made._next = list(self._held), list(self._next)
        made._takers = [taker.copied() for taker in self._takers]
        made._writer = self._writer.copied()
        return made

    @property
    def complete(self) -> bool:
        """Nothing of its work is left out."""
        return self._beats.all

    @property
    def through(self) -> bool:
        """Every beat is taken, and every result written."""
        return self._done == len(self._beats.words) and self._writer.empty

    @property
    def end(self) -> int:
        """When its work is, where it is through."""
        if not self._beats.results:
            return self._taken - self._first + 1
        if self._alone < 0:
            self._alone = _alone(self._beats)
        return self._writer.last - self._alone + sum(self._beats.steps[1:]) - self._first + 1

    def pace(self, before: Lanes) -> float:
        """Work in a cycle, from where it was before."""
        first, start, warm = 0, self._first, self._starts + _WARM
        end = self._taken + 1 if self._done == len(self._beats.words) else self.now
        if before.now:
            first, start = before._done, before.now
        elif self._begun and self.now > 2 * warm:
            first, start = self._before, warm
        late = self._writer.words / self._writer.came if self._writer.backlog > _BACKLOG else 1.0
        return late * sum(self._beats.steps[first : self._done]) / max(1, end - start)

    def cycle(self, operands: int, results: int, busy: dict[int, int]) -> None:
        """One cycle, in which the MAC engine takes some banks; `busy` has those asked for, and the words."""
        now, ahead, depth, held = self.now, self._beats.ahead, self._beats.depth, self._held
        self.now = now + 1
        if self._writer.words_left:
            self._writer.cycle(now, results)
        if now < self._starts:
            return
        self._take(now)
        asking = self._asking(ahead)
        for lane, asked in enumerate(self._asked):
            if not asked or held[lane] >= depth:
                continue
            number, word = asked[0]
            bank = word % BANKS
            if operands >> bank & 1 or busy.setdefault(bank, word) != word:
                continue
            asked.popleft()
            held[lane] += 1
            self._takers[self._of[lane]].granted(number, now)
        for walk in asking:
            number, parts = self._next[walk], self._parts[walk]
            for lane, word in parts[number]:
                self._asked[lane].append((number, word))
            self._next[walk] = _behind(parts, number)

    def _asking(self, ahead: int) -> list[int]:
        """Walks that go on: all of their lanes have room for another word."""
        asking = []
        for walk, lanes in enumerate(self._walks):
            if self._next[walk] < len(self._parts[walk]):
                for lane in lanes:
                    if len(self._asked[lane]) >= ahead:
                        break
                else:
                    asking.append(walk)
        return asking

    def _take(self, now: int) -> None:
        """Whoever may takes the next beat, if it has all its words."""
        if self._writer.backlog >= _WRITES:
            return
        asked, oldest, windows = min(self._next), self._done, self._beats.windows
        for taker in self._takers:
            number = taker.next
            if number >= asked or not taker.whole(now) or (windows and windows[number] > windows[oldest]):
                continue
            for lane, _ in taker.words[number]:
                self._held[lane] -= 1
            taker.take(now, self._beats.steps)
            self._done = min([taker.next for taker in self._takers])
        if self._done > oldest:
            self._writer.put(now, oldest)
            self._taken = now
            if now < self._starts + _WARM:
                self._before = self._done


class _Taker:
    """Who takes beats, or a walk's part of them, in their order."""

    def __init__(self, words: Sequence[_Part], free: int) -> None:
        self.words = words
        self.next = 0  # beat
        self._missing = [len(part) for part in words]  # words that each beat waits for
        self._there = [0] * len(words)  # when the last word of each of them is there
        self._free = free  # when it takes the next one

    def copied(self) -> _Taker:
        made = copy(self)
        made._missing, made._there = list(self._missing), list(self._there)
        return made

    def granted(self, beat: int, now: int) -> None:
        self._missing[beat] -= 1
        self._there[beat] = now + _ON_THE_WAY

    def whole(self, now: int) -> bool:
        """Whether the next beat may be taken."""
        return not self._missing[self.next] and now >= self._free and now >= self._there[self.next]

    def take(self, now: int, steps: Sequence[int]) -> None:
        self.next = _behind(self.words, self.next)
        self._free = now + (steps[self.next] if self.next < len(steps) else 0)


class _Writer:
    """The write lanes of an engine.

    Attributes:
        came, words: of the first lane, those that came and those that were written.
        words_left: of all lanes, those that came and are not written.
        last: when the last word was written.
    """

    def __init__(self, results: Sequence[Result]) -> None:
        self._of: dict[int, list[Result]] = {}
        for result in results:
            self._of.setdefault(result.beat, []).append(result)
        lanes = max((len(result.words) for result in results), default=0)
        self._due: list[list[tuple[int, bool, int, int]]] = [[] for _ in range(lanes)]  # (when, behind, order, word)
        self._waiting: list[list[tuple[bool, int, int]]] = [[] for _ in range(lanes)]
        self._asked: list[int | None] = [None] * lanes
        self.came = self.words = self.words_left = self.last = 0

    def copied(self) -> _Writer:
        made = copy(self)
        made._due, made._waiting = [list(due) for due in self._due], [list(words) for words in self._waiting]
        made._asked = list(self._asked)
        return made

    @property
    def backlog(self) -> int:
        """Words of the first lane that came and are not written."""
        return self.came - self.words

    @property
    def empty(self) -> bool:
        """Every word that came is written."""
        return not self.words_left

    def put(self, now: int, beat: int) -> None:
        """A beat is taken."""
        for result in self._of.get(beat, ()):
            self.came += 1
            for due, word in zip(self._due, result.words, strict=False):
                heappush(due, (now + result.delay, not result.first, self.came, word))
                self.words_left += 1

    def cycle(self, now: int, taken: int) -> None:
        """Each lane writes the word that it asks for, the first lane first, and asks for the next."""
        for lane, word in enumerate(self._asked):
            if word is not None and not taken >> word % BANKS & 1:
                taken |= 1 << word % BANKS
                self._asked[lane] = None
                self.words_left -= 1
                self.words += lane == 0
                self.last = now
        for lane, (due, waiting) in enumerate(zip(self._due, self._waiting, strict=True)):
            while due and due[0][0] <= now + 1:
                _, behind, order, word = heappop(due)
                heappush(waiting, (behind, order, word))
            if waiting and self._asked[lane] is None:
                self._asked[lane] = heappop(waiting)[2]


def run(engines: Sequence[Lanes], operands: Banks, results: Banks, cycles: int) -> None:
    """So many cycles of engines, of which the first has its lanes first, beside the MAC engine."""
    for now in range(cycles):
        if now % _OFTEN == 0 and all(engine.through for engine in engines):
            for engine in engines:
                engine.now += cycles - now
            return
        busy: dict[int, int] = {}
        taken, written = (banks[now] if now < len(banks) else 0 for banks in (operands, results))
        for engine in engines:
            engine.cycle(taken, written, busy)


def _alone(beats: Beats) -> int:
    """When the last result is written, from where the first beat is taken, where nothing holds anything up."""
    writer, now, time = _Writer(beats.results), 0, 0
    for beat, step in enumerate(beats.steps):
        time += step if beat else 0
        writer.put(time, beat)
    while not writer.empty:
        writer.cycle(now, 0)
        now += 1
    return writer.last


def _behind(parts: Sequence[_Part], number: int) -> int:
    """The next beat of which a walk has a part."""
    number += 1
    while number < len(parts) and not parts[number]:
        number += 1
    return number


def _part(beats: Beats, lanes: range, count: int) -> Sequence[_Part]:
    """Of every beat the words of some of so many lanes."""
    if len(lanes) == count:
        return beats.words
    return [[(lane, word) for lane, word in beat if lane in lanes] for beat in beats.words]
