"""Runs of a memory cut into bursts, and the cycles that one master needs for them.

Not here: which runs a packet moves (`instructions/copy.py`, `instructions/gather.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa.cost import Timing
from vla_isa.hardware import BEAT_BYTES, LINE_BYTES

__all__ = ["Bursts", "burst_cycles", "line_cycles"]

_LINE_BEATS = LINE_BYTES // BEAT_BYTES


@dataclass(frozen=True)
class Bursts:
    """What masters move.

    Attributes:
        cycles: that the busiest one needs.
        beats, count: of all bursts, and how many.
        waits: bursts in flight rather than beats set the pace.
        masters: how many.
    """

    cycles: float
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


def burst_cycles(
    starts: NDArray[np.int64],
    units: NDArray[np.int64],
    group: int,
    unit_bytes: int,
    latency: int,
    timing: Timing,
    masters: int = 1,
) -> Bursts:
    """Runs cut into bursts that end where an aligned group ends.

    Args:
        starts: first unit of each run; units: how many.
        group: units of a group, so of the longest burst; unit_bytes: what one master moves of a unit.
        latency: of a burst.
        timing: constants.
        masters: that bursts are dealt to, so that each gets about as much.
    """
    first = np.minimum(units, group - starts % group)
    whole, last = np.divmod(units - first, group)
    cycles, beats_total, waits = [0.0] * masters, 0, False
    sizes = np.concatenate([first, last])
    counts = np.bincount(sizes[sizes > 0], minlength=group + 1)
    counts[group] += whole.sum()
    for size in np.flatnonzero(counts)[::-1]:
        beats = -(-int(size) * unit_bytes // BEAT_BYTES)
        pace = (latency + beats) / timing.bursts_in_flight
        each, left = divmod(int(counts[size]), masters)
        for place, master in enumerate(np.argsort(cycles, kind="stable").tolist()):
            cycles[master] += (each + (place < left)) * max(beats, pace)
        beats_total += int(counts[size]) * beats
        waits |= pace > beats
    return Bursts(max(cycles), beats_total, int(counts.sum()), waits, masters)


def line_cycles(lines: NDArray[np.int64], run_beats: int, latency: int, timing: Timing, masters: int = 1) -> Bursts:
    """Runs of the data space, each from the start of a line; those that continue each other become one burst.

    Args:
        lines: first line of each run, in their order.
        run_beats: beats of a run.
        latency: of a burst.
        timing: constants.
        masters: see `burst_cycles`.
    """
    length = -(-run_beats // _LINE_BEATS)
    ends = lines + length
    joins = ends[:-1] == lines[1:]  # a run continues the one before it
    opens = np.flatnonzero(np.append(True, ~joins))
    runs = np.diff(np.append(opens, len(lines)))
    whole = burst_cycles(
        lines[opens] * _LINE_BEATS,
        (runs - 1) * length * _LINE_BEATS + run_beats,
        timing.burst_lines * _LINE_BEATS,
        BEAT_BYTES,
        latency,
        timing,
        masters,
    )
    # a burst that ends with a run leaves out the padding behind it
    cut = (length * _LINE_BEATS - run_beats) * int((joins & (ends[:-1] % timing.burst_lines == 0)).sum())
    return Bursts(int(whole.cycles - cut / masters), whole.beats - cut, whole.count, whole.waits, masters)
