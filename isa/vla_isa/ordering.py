"""What packets know of each other: queue positions, clocks from semaphores, last accesses per memory word.

A clock is an int64 array, one count per queue (fetch included): how many packets of each queue are known
to be complete. Used by `hazards.py` (is a conflict ordered?) and `schedules.py` (what must be ordered?).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla_isa.access import Access
from vla_isa.generated.codes import SEMAPHORES
from vla_isa.intervals import Intervals, expand
from vla_isa.packet import FETCH, QUEUES, Packet

__all__ = ["QUEUE_NAMES", "Clock", "Conflict", "WordHistory", "bits", "queue_number"]

QUEUE_NAMES = (*QUEUES, FETCH)
Clock = NDArray[np.int64]


def queue_number(packet: Packet) -> int:
    """The packet's queue as an index of `QUEUE_NAMES`."""
    return QUEUE_NAMES.index(packet.queue)


def bits(mask: int) -> list[int]:
    """The semaphores of a wait or signal mask."""
    return [s for s in range(SEMAPHORES) if mask >> s & 1]


@dataclass(frozen=True)
class Conflict:
    """An earlier access to a word that the present one also touches, one of them writing."""

    queue: int
    position: int  # 1 is the queue's first packet
    space: str
    word: int
    earlier_writes: bool


@dataclass
class WordHistory:
    """For every space, queue and kind of access: the position of the last packet that touched each word."""

    sizes: dict[str, int]  # words of each space; a space left out is not followed
    last: dict[tuple[str, bool, int], NDArray[np.int32]] = field(default_factory=dict)
    newest: dict[tuple[str, bool, int], int] = field(default_factory=dict)

    def conflicts(self, queue: int, access: Access, known: Clock) -> list[Conflict]:
        """The newest conflicting access of each other queue that `known` does not cover."""
        out = []
        for kind in (True, False) if access.write else (True,):
            for other in range(len(QUEUE_NAMES)):
                key = (access.space, kind, other)
                if other == queue or self.newest.get(key, 0) <= known[other]:
                    continue
                position, word = _maximum(self.last[key], access.words)
                if position > known[other]:
                    out.append(Conflict(other, position, access.space, word, kind))
        return out

    def record(self, queue: int, position: int, access: Access) -> None:
        """Note that packet `position` of `queue` makes this access."""
        if access.space not in self.sizes:
            return
        key = (access.space, access.write, queue)
        if key not in self.last:
            self.last[key] = np.zeros(self.sizes[access.space], np.int32)
        self.newest[key] = position
        if len(access.words) == 1:
            self.last[key][access.words[0, 0] : access.words[0, 1]] = position
        else:
            self.last[key][expand(access.words)] = position


def _maximum(last: NDArray[np.int32], words: Intervals) -> tuple[int, int]:
    """The highest position among `words`, and a word that has it."""
    if len(words) == 1:
        first = int(words[0, 0])
        at = int(last[first : words[0, 1]].argmax())
        return int(last[first + at]), first + at
    index = expand(words)
    values = last[index]
    at = int(values.argmax())
    return int(values[at]), int(index[at])
