"""When packets leave fetch: reads ahead of dispatch, loops, indexes and jumps, in cycles from start.

Times are those of `rtl/src/vla_fetch.v` and its parts. A packet that waits for its queue or its semaphores holds up
those behind it; the queues (`queues.py`) say until when.
Not here: what fetch's packets mean (`fetch.py`). The reads of other masters' users do not hold up those of fetch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vla_isa.cost import Timing
from vla_isa.packet import Packet

__all__ = ["Dispatch"]


@dataclass
class _Prefetch:
    """Packets read ahead: reads end at multiples of a group, and one leaves as soon as there is room for it."""

    timing: Timing
    reads: list[tuple[int, int]] = field(default_factory=list)  # cycles from first beat to behind the last
    held: bool = False  # a loop's body stays
    _there: dict[int, int] = field(default_factory=dict)  # when each line is offered
    _next: int = 0  # line of the next read
    _low: int = 0  # first line that is kept
    _left: int = 0  # when the last read left
    _free: int = 0  # when the memory may give the next beat

    def redirect(self, line: int, at: int) -> None:
        """Forget all, go on at a line."""
        self._there.clear()
        self._next = self._low = line
        self._left, self.held = at, False
        self._read(at)

    def loaded(self, line: int, at: int) -> None:
        """A packet went to dispatch."""
        if not self.held:
            self._low = line + 1
            self._read(at)

    def release(self, line: int, at: int) -> None:
        """A loop that was held is left: what lies in front of a line goes."""
        self.held, self._low = False, line
        self._read(at + 1)

    def offered(self, line: int, at: int) -> int:
        """When a packet that is wanted from `at` on is there."""
        return max(at, self._there[line])

    def _read(self, at: int) -> None:
        group, ahead, timing = self.timing.prefetch_group, self.timing.prefetch_packets, self.timing
        while (end := (self._next // group + 1) * group) <= self._low + ahead:
            self._left = max(self._left, at) + 1
            first = max(self._left + 1 + timing.read_latency, self._free)
            beats = timing.packet_beats * (end - self._next)
            for number, line in enumerate(range(self._next, end), 1):
                self._there[line] = first + timing.packet_beats * number
            self._next, self._free = end, first + beats
            self.reads.append((first, first + beats))


@dataclass
class _Loop:
    start: int
    last: int
    left: int  # rounds behind this one
    held: bool


class Dispatch:
    """Fetch between packets.

    Attributes:
        reads: every read of packets, as cycles from its first beat to behind its last.
    """

    def __init__(self, packets: Sequence[Packet], lines: Sequence[int], timing: Timing) -> None:
        """Packets as executed, and the data-space line of each."""
        self._packets, self._lines, self._timing = packets, lines, timing
        self._prefetch, self._loops = _Prefetch(timing), list[_Loop]()
        self.reads = self._prefetch.reads

    def begin(self) -> int:
        """Start; returns when the first packet may leave."""
        self._prefetch.redirect(self._lines[0], 0)
        return self._ready(0, 0)

    def after(self, index: int, at: int) -> int:
        """When the packet behind one that left (or acted) at `at` may leave: its queue and semaphores apart."""
        packet, line = self._packets[index], self._lines[index]
        queued = packet.queue != "fetch"
        if packet.name == "LOOP":
            self._enter(packet, line)
        elif packet.name == "JUMP":
            self._prefetch.redirect(self._lines[index + 1], at)
            return self._ready(index + 1, at)
        if not self._loops or line != self._loops[-1].last:
            return self._ready(index + 1, at if queued else at + 1)
        return self._ready(index + 1, self._turn(at + 1) + 1)

    def _enter(self, packet: Packet, line: int) -> None:
        start = line + 1
        span = packet["n"] + start % self._timing.prefetch_group
        held = span <= self._timing.prefetch_packets or any(loop.held for loop in self._loops)
        self._loops.append(_Loop(start, line + packet["n"], packet["count"] - 1, held))
        self._prefetch.held = held

    def _turn(self, at: int) -> int:
        """The cycle in which the next packet behind the end of a body is known; `at` is the first one after it."""
        while True:
            loop = self._loops[-1]
            if loop.left:
                loop.left -= 1
                if not loop.held:
                    self._prefetch.redirect(loop.start, at)
                return at
            self._loops.pop()
            if not self._loops or self._loops[-1].last != loop.last:
                if loop.held and not (self._loops and self._loops[-1].held):
                    self._prefetch.release(loop.last + 1, at)
                return at
            at += 1  # the loop around it ends here too

    def _ready(self, index: int, at: int) -> int:
        """When a packet that is wanted from `at` on may leave."""
        line, packet = self._lines[index], self._packets[index]
        loaded = self._prefetch.offered(line, at)
        self._prefetch.loaded(line, loaded)
        steps = 0
        if packet.name == "LOOP":
            steps = self._timing.loop_steps
        elif packet.values.get("index_enable"):
            steps = self._timing.index_steps
        return loaded + 1 + steps
