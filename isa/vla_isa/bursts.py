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
    """What one master moves.

    Attributes:
        cycles: that it needs.
        beats, count: of all bursts, and how many.
        waits: bursts in flight rather than beats set the pace.
    """

    cycles: float
    beats: int
    count: int
    waits: bool

    @property
    def share(self) -> float:
        """Beats in a cycle, 0..1."""
        return min(1.0, self.beats / max(self.cycles, 1))

    @property
    def length(self) -> float:
        """Beats of a burst, on average."""
        return self.beats / max(self.count, 1)


def burst_cycles(
    starts: NDArray[np.int64], units: NDArray[np.int64], group: int, unit_bytes: int, latency: int, timing: Timing
) -> Bursts:
    """Runs cut into bursts that end where an aligned group ends.

    Args:
        starts: first unit of each run; units: how many.
        group: units of a group, so of the longest burst; unit_bytes: what one master moves of a unit.
    """
    first = np.minimum(units, group - starts % group)
    whole, last = np.divmod(units - first, group)
    cycles, beats_total, waits = 0.0, 0, False
    sizes = np.concatenate([first, last])
    counts = np.bincount(sizes[sizes > 0], minlength=group + 1)
    counts[group] += whole.sum()
    for size in np.flatnonzero(counts):
        beats = -(-int(size) * unit_bytes // BEAT_BYTES)
        pace = (latency + beats) / timing.bursts_in_flight
        cycles += int(counts[size]) * max(beats, pace)
        beats_total += int(counts[size]) * beats
        waits |= pace > beats
    return Bursts(cycles, beats_total, int(counts.sum()), waits)


def line_cycles(lines: NDArray[np.int64], run_beats: int, latency: int, timing: Timing) -> Bursts:
    """Runs of the data space, each from the start of a line; those that continue each other become one burst.

    Args:
        lines: first line of each run, in their order.
        run_beats: beats of a run.
        latency: of a burst.
        timing: constants.
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
    )
    # a burst that ends with a run leaves out the padding behind it
    cut = (length * _LINE_BEATS - run_beats) * int((joins & (ends[:-1] % timing.burst_lines == 0)).sum())
    return Bursts(int(whole.cycles - cut), whole.beats - cut, whole.count, whole.waits)
