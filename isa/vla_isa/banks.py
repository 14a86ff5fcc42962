"""What engines ask of the scratchpad: banks that the MAC engine takes, words of the lanes of the others.

Not here: which words a packet touches (`engine_words.py`), what comes of it (`lanes.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.hardware import BANKS

__all__ = ["STRETCH", "Banks", "Beats", "Result", "banks_of"]

STRETCH = 384  # beats of an engine, and cycles, that are looked at

Banks = tuple[int, ...]  # of each cycle the banks that the MAC engine takes, a bit for each


@dataclass(frozen=True)
class Result:
    """Words of the write lanes.

    Attributes:
        beat: that they come of.
        delay: cycles from taking it to the lanes.
        first: they go before others that wait there.
        words: of each lane.
    """

    beat: int
    delay: int
    first: bool
    words: tuple[int, ...]


@dataclass(frozen=True)
class Beats:
    """What the lanes of an engine read or write, in the order of its work.

    Attributes:
        words: of each beat (lane, word) where a lane has one.
        steps: the cycles that the engine needs alone from the beat before to each of them.
        depth: words that a lane holds.
        ahead: words that a lane asks for before the others of its walk have asked for theirs.
        walk: lanes that ask for the words of a beat at one time; 0: all of them.
        starts: cycles from where the work begins to the first request.
        waits: cycles in which the engine takes nothing where the first words are there.
        windows: where walks are taken each on its own, a number for each beat: they are together where it changes.
        results: what is written of them, where it is looked at.
        all: they are all that is left of the work.
    """

    words: tuple[tuple[tuple[int, int], ...], ...]
    steps: tuple[int, ...]
    depth: int = 16
    ahead: int = 2
    walk: int = 0
    starts: int = 0
    waits: int = 0
    windows: tuple[int, ...] = ()
    results: tuple[Result, ...] = ()
    all: bool = True

    @classmethod
    def of(cls, words: NDArray[np.int64], steps: NDArray[np.int64] | int = 1, *, all: bool, **others: Any) -> Beats:
        """The first [beats, lanes] words, -1 where a lane has none; `all`: there are no more than these."""
        pace = np.broadcast_to(np.asarray(steps), len(words))[:STRETCH]
        some = [tuple((lane, word) for lane, word in enumerate(beat) if word >= 0) for beat in words[:STRETCH].tolist()]
        return cls(tuple(some), tuple(pace.tolist()), all=all and len(words) <= STRETCH, **others)


def banks_of(words: NDArray[np.int64]) -> list[list[int]]:
    """What the MAC engine takes, for [strips, beats, lanes] words, -1 where a lane has none: of each strip its cycles.

    Words of one bank come one after the other.
    """
    bits = np.bitwise_or.reduce(np.where(words < 0, 0, 1 << words % BANKS), axis=2)
    ordered = np.sort(words, axis=2)
    fresh = ordered >= 0
    fresh[:, :, 1:] &= ordered[:, :, 1:] != ordered[:, :, :-1]
    crowded = np.bitwise_count(bits) < fresh.sum(axis=2)
    strips: list[list[int]] = bits.tolist()
    for strip in np.flatnonzero(crowded.any(axis=1)).tolist():
        strips[strip] = [bank for beat in words[strip].tolist() for bank in _in_turn(beat)]
    return strips


def _in_turn(words: list[int]) -> list[int]:
    left, cycles = {w for w in words if w >= 0}, list[int]()
    while left or not cycles:
        now = {word % BANKS: word for word in left}
        cycles.append(sum(1 << bank for bank in now))
        left -= set(now.values())
    return cycles
