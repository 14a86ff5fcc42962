"""Wait and signal masks: one semaphore per ordered pair of queues that conflict.

For each packet and each other queue, the latest packet of that queue whose accesses conflict with it must be
complete. It is waited for unless an earlier wait implies it. Along a pair of queues the awaited packets
are strictly later each time, so the k-th wait pairs with the k-th signal without any filler.
"""

from __future__ import annotations

import numpy as np

from vla_isa.access import Access
from vla_isa.errors import HazardError
from vla_isa.footprint import footprint
from vla_isa.generated.codes import SEMAPHORES
from vla_isa.hardware import HardwareConfig
from vla_isa.intervals import Intervals
from vla_isa.packet import QUEUES, Packet

__all__ = ["assign_semaphores"]

_Clock = dict[str, int]  # queue -> number of its packets known to be complete


def assign_semaphores(packets: list[Packet], hw: HardwareConfig) -> list[tuple[int, int]]:
    """(wait mask, signal mask) of each packet; packets of fetch get none.

    Raises:
        HazardError: more ordered pairs of queues than semaphores.
    """
    accesses = [footprint(p, hw) for p in packets]
    by_queue: dict[str, list[int]] = {q: [] for q in QUEUES}
    clocks: list[_Clock] = []  # what is complete when a packet starts
    pairs: dict[tuple[str, str], int] = {}
    waits, signals = [0] * len(packets), [0] * len(packets)
    for number, packet in enumerate(packets):
        queue = packet.queue
        if queue not in by_queue:
            clocks.append({})
            continue
        earlier = by_queue[queue]
        clock = dict(clocks[earlier[-1]]) if earlier else {}
        # the nearest first: waiting for it may imply the others
        wanted = [(_last_conflict(accesses, number, by_queue[q], clock.get(q, 0)), q) for q in QUEUES if q != queue]
        for position, other in sorted(wanted, key=lambda w: -by_queue[w[1]][w[0]] if w[0] >= 0 else 1):
            if position < clock.get(other, 0):
                continue
            bit = pairs.setdefault((other, queue), len(pairs))
            source = by_queue[other][position]
            waits[number] |= 1 << bit
            signals[source] |= 1 << bit
            for q, done in {**clocks[source], other: position + 1}.items():
                clock[q] = max(clock.get(q, 0), done)
        clocks.append(clock)
        earlier.append(number)
    if len(pairs) > SEMAPHORES:
        raise HazardError(f"the program orders {len(pairs)} pairs of queues, more than the {SEMAPHORES} semaphores")
    return list(zip(waits, signals, strict=True))


def _last_conflict(accesses: list[list[Access]], number: int, others: list[int], known: int) -> int:
    """Position in `others` of the latest packet that conflicts with packet `number`, -1 for none after `known`."""
    for position in range(len(others) - 1, known - 1, -1):
        if _conflict(accesses[number], accesses[others[position]]):
            return position
    return -1


def _conflict(a: list[Access], b: list[Access]) -> bool:
    return any(x.space == y.space and (x.write or y.write) and _overlap(x.words, y.words) for x in a for y in b)


def _overlap(a: Intervals, b: Intervals) -> bool:
    """Whether two sets of disjoint sorted intervals share a word."""
    if a[0, 0] >= b[-1, 1] or b[0, 0] >= a[-1, 1]:
        return False
    if len(a) > len(b):
        a, b = b, a
    after = np.searchsorted(b[:, 1], a[:, 0], side="right")
    inside = after < len(b)
    return bool((b[after[inside], 0] < a[inside, 1]).any())
