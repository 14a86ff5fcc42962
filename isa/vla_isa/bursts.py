"""Runs of a memory joined and cut into bursts, and the cycles that masters need for them.

A burst is asked for once its runs have come, in the cycle behind the burst before it at the soonest, and while fewer
than the memory takes are on their way. Beats come one behind another.
Not here: which runs a packet moves (`instructions/copy.py`, `instructions/gather.py`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vla_isa.cost import Timing
from vla_isa.hardware import BEAT_BYTES, LINE_BYTES

__all__ = ["Bursts", "line_bursts", "word_bursts"]

_LINE_BEATS = LINE_BYTES // BEAT_BYTES
_Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Bursts:
    """What masters move.

    Attributes:
        first: cycles from the first run to the last one of the first burst.
        walk: cycles of all runs, with those of the cuts between them.
        cycles: that the busiest master needs, from where the first beat may come.
        beats, count: of all bursts, and how many.
        waits: bursts in flight rather than beats set the pace.
        masters: how many.
    """

    first: int
    walk: int
    cycles: int
    beats: int
    count: int
    waits: bool
    masters: int

    @property
    def share(self) -> float:
        """Beats of one master in a cycle, 0..1."""
        return min(1.0, self.beats / self.masters / max(self.cycles, 1))

    @property
    def length(self) -> float:
        """Beats of a burst, on average."""
        return self.beats / max(self.count, 1)


def word_bursts(
    starts: _Ints, units: int, ends: _Ints, comes: _Ints, group: int, unit_bytes: int, timing: Timing
) -> Bursts:
    """Runs that are joined, then cut where an aligned group ends (`rtl/src/vla_run_joiner.v`, `vla_segmenter.v`).

    Args:
        starts: first unit of each run, in their order; units: how many.
        ends: unit behind the run that may go on with the next run; -1 where none may.
        comes: the cycle in which each run comes.
        group: units of a group, so of the longest burst; unit_bytes: what one master moves of a unit.
        timing: constants.
    """
    joined: list[tuple[int, int, int]] = []  # first unit, behind the last one, when the last run came
    for start, before, come in zip(starts.tolist(), [-1, *ends.tolist()], comes.tolist(), strict=False):
        if joined and start == before and come == joined[-1][2] + 1:
            first, end, _ = joined[-1]
            if first // group == end // group:
                joined[-1] = (first, start + units, come)
                continue
        joined.append((start, start + units, come))
    beats, known = list[int](), [-1]
    for first, end, come in joined:
        cuts = [first, *range((first // group + 1) * group, end, group), end]
        for a, b in pairwise(cuts):
            beats.append(-(-(b - a) * unit_bytes // BEAT_BYTES))
            known.append(max(known[-1] + 1, come))
    return _moved(beats, known[1:], timing.read_latency, timing.read_again, timing, 1)


def line_bursts(lines: _Ints, run_beats: int, timing: Timing, masters: int = 1, *, write: bool = False) -> Bursts:
    """Runs of the data space, each from the start of a line: cut where an aligned group of lines ends, then joined
    inside of it where they continue each other (`rtl/src/vla_burst_dealer.v`).

    Args:
        lines: first line of each run, in their order.
        run_beats: beats of a run.
        timing: constants.
        masters: that bursts are dealt to, so that each gets about as much.
        write: they are written.
    """
    group, length = timing.burst_lines, -(-run_beats // _LINE_BEATS)
    pieces = (lines + length - 1) // group - lines // group + 1
    run = np.repeat(np.arange(len(lines)), pieces)
    cut = np.arange(len(run)) - np.repeat(np.cumsum(pieces) - pieces, pieces)  # the piece's number in its run
    first = np.where(cut == 0, lines[run], (lines[run] // group + cut) * group)
    end = np.minimum((first // group + 1) * group, lines[run] + length)
    joins = (first[1:] == end[:-1]) & (first[1:] % group != 0)
    opens = np.flatnonzero(np.append(True, ~joins))
    last = np.append(opens[1:], len(first)) - 1
    padding = np.where(end[last] == lines[run[last]] + length, length * _LINE_BEATS - run_beats, 0)
    beats = (end[last] - first[opens]) * _LINE_BEATS - padding  # that of the last run is left out
    latency = timing.write_latency if write else timing.read_latency
    again = timing.write_again if write else timing.read_again
    return _moved(beats.tolist(), last.tolist(), latency, again, timing, masters)


def _moved(beats: list[int], known: list[int], latency: int, again: int, timing: Timing, masters: int) -> Bursts:
    """Bursts in their order, each to the master that got fewer beats.

    Args:
        beats: of each burst.
        known: the cycle in which its last run, or cut of it, comes.
        latency: of the memory.
        again: cycles from where a burst is through to the address that waited for it.
        timing: constants.
        masters: how many.
    """
    given, asked, end = [0] * masters, [-1] * masters, [0] * masters
    underway = [deque[int](maxlen=timing.bursts_in_flight) for _ in range(masters)]  # ends, the oldest first
    waits = False
    for size, come in zip(beats, known, strict=True):
        m = given.index(min(given))
        ask = max(come - known[0], asked[m] + 1)
        if len(underway[m]) == timing.bursts_in_flight and ask < underway[m][0] + again:
            ask = underway[m][0] + again
            waits |= ask + latency > end[m]
        given[m] += size
        asked[m] = ask
        end[m] = max(end[m], ask + latency) + size
        underway[m].append(end[m])
    return Bursts(known[0], known[-1] + 1, max(end) - latency, sum(beats), len(beats), waits, masters)
