"""Runs of a memory cut into bursts, and the cycles that one master needs for them.

Not here: which runs a packet moves (`instructions/copy.py`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_isa.cost import Timing
from vla_isa.hardware import BEAT_BYTES

__all__ = ["burst_cycles"]


def burst_cycles(
    starts: NDArray[np.int64], units: NDArray[np.int64], group: int, unit_bytes: int, latency: int, timing: Timing
) -> tuple[float, int, bool]:
    """Runs cut into bursts that end where an aligned group ends.

    Args:
        starts: first unit of each run; units: how many.
        group: units of a group, so of the longest burst; unit_bytes: what one master moves of a unit.

    Returns:
        Cycles that one master needs, beats, and whether bursts in flight rather than beats set the pace.
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
    return cycles, beats_total, waits
