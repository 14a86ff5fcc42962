"""Performance model: how many cycles a program takes, packet by packet, without running it.

Each packet gets the cycles its engine needs (`engine_cycles.py`); the five queues then run in parallel,
held back by dispatch, queue depth, semaphores and what they share (`sharing.py`), as in the machine. Values
never matter: the machine's timing does not depend on data. Memory is the reference memory (read latency 64,
one 32-byte beat per cycle and master, 8 bursts in flight, write response after 64). Not modelled: random
stalls, and which bank exactly is taken when two queues meet in the scratchpad (the average is).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from vla_isa.cost import REFERENCE, Cost, Timing
from vla_isa.engine_cycles import packet_cost
from vla_isa.errors import ProgramError
from vla_isa.fields import PACKET_BYTES
from vla_isa.generated.codes import SEMAPHORES
from vla_isa.hardware import BEAT_BYTES
from vla_isa.ordering import QUEUE_NAMES, bits, queue_number
from vla_isa.packet import Packet
from vla_isa.program import Program
from vla_isa.registers import COUNTERS
from vla_isa.sharing import Sharing
from vla_isa.trace import describe, packet_lines, walk

__all__ = ["PacketTiming", "TimingReport", "estimate"]

_FETCH = len(QUEUE_NAMES) - 1
_ROUNDS = 3  # placements, each with the sharing that the one before it saw
# the counter that says how long each queue ran a packet
_ACTIVE = ("wload_active", "load_active", "mac_active", "vec_active", "store_active")


@dataclass(frozen=True)
class PacketTiming:
    """When a packet ran: `start` and `end` in cycles from start, `cycles` its time alone on the machine.

    It starts when it has its semaphores and the packet before it in its queue is done; by then part of its
    own work may be done. `bound` says what set `cycles`: "compute", "requantize", "memory" or "latency".
    """

    number: int
    op: str
    queue: str
    start: int
    end: int
    cycles: int
    macs: int
    bound: str


@dataclass(frozen=True)
class TimingReport:
    """The whole run of one entry point: packets in program order, and the machine's counters."""

    total_cycles: int
    packets: list[PacketTiming]
    counters: dict[str, int]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the graph, as the source map counts them."""
        return sum(p.macs for p in self.packets)


def estimate(program: Program, entry: str | None = None, timing: Timing = REFERENCE) -> TimingReport:
    """Cycles of one run.

    Args:
        program: legal.
        entry: name of the entry point; the first one when None.
        timing: constants of the machine and the memory.

    Raises:
        ProgramError: unknown entry point, a program that cannot be followed, or one that deadlocks.
    """
    name = next(iter(program.entries)) if entry is None else entry
    if name not in program.entries:
        raise ProgramError(f"unknown entry point '{name}'; there are {', '.join(program.entries)}")
    items = [
        _Item(s.number, s.packet, queue_number(s.packet), packet_cost(s.packet, program.config, s.params, timing))
        for s in walk(program, program.entries[name])
    ]
    sharing = Sharing()
    for _ in range(_ROUNDS):
        run = _Run(program, items, timing, sharing, packet_lines(program))
        run.place()
        sharing = run.taken
    return run.report()


@dataclass(frozen=True)
class _Item:
    """One executed packet."""

    number: int
    packet: Packet
    queue: int
    cost: Cost


@dataclass
class _Run:
    """The queues while packets are placed in time, in program order."""

    program: Program
    items: list[_Item]
    timing: Timing
    sharing: Sharing  # of the round before
    lines: list[int]  # of packets, by number
    taken: Sharing = field(default_factory=Sharing)
    spans: list[tuple[int, int]] = field(default_factory=list)
    ends: list[list[int]] = field(default_factory=lambda: [[] for _ in QUEUE_NAMES])
    accepts: list[list[int]] = field(default_factory=lambda: [[] for _ in QUEUE_NAMES])
    paths: dict[tuple[int, str], int] = field(default_factory=dict)  # when a path of a queue is free
    signals: list[deque[int]] = field(default_factory=lambda: [deque() for _ in range(SEMAPHORES)])

    def place(self) -> None:
        """Give every packet its start and end."""
        fetched = self.timing.start + self.timing.read_latency
        depth = self.program.config.queue_depth
        for index, item in enumerate(self.items):
            ready = fetched
            if item.queue != _FETCH and len(self.accepts[item.queue]) >= depth:
                # dispatch stands while the queue is full
                ready = max(ready, self.accepts[item.queue][-depth])
            if index + self.timing.prefetch_packets < len(self.items):
                arrives = ready + self.timing.read_latency
                self.taken.take("master", _FETCH, arrives, arrives + self.timing.dispatch, 1.0)
            start, end = self._span(item, ready)
            self.spans.append((start, end))
            for s in bits(item.packet["signal"]):
                self.signals[s].append(end)
            fetched = self._next(index, ready, end)

    def _next(self, index: int, ready: int, end: int) -> int:
        """When the packet behind a packet is fetched; a long body of a loop is fetched again in every round."""
        item, latency = self.items[index], self.timing.read_latency
        if item.packet.name == "JUMP":
            return end + latency
        fetched = end if item.packet.name == "SET" else ready + self.timing.dispatch
        return fetched + latency if self._refetches(index) else fetched

    def _refetches(self, index: int) -> bool:
        """Whether behind a packet comes the start of its loop, of more packets than the prefetch buffer holds.

        Reads end at multiples of a group, so there is room behind the first packet as if the group were whole.
        """
        if index + 1 == len(self.items):
            return False
        last, first = (self.lines[i.number] for i in self.items[index : index + 2])
        return last + 1 - first + first % self.timing.prefetch_group > self.timing.prefetch_packets

    def _span(self, item: _Item, ready: int) -> tuple[int, int]:
        """When a packet takes its semaphores and when it is done; `ready` is its dispatch."""
        cost, ends, accepts = item.cost, self.ends[item.queue], self.accepts[item.queue]
        start = ready + self.timing.semaphore
        if accepts:
            start = max(start, accepts[-1] + 1)
        for s in bits(item.packet["wait"]):
            if not self.signals[s]:
                where = describe(self.program, item.number, item.packet)
                raise ProgramError(f"{where} waits for semaphore {s}, which nothing signals; it would deadlock")
            start = max(start, self.signals[s].popleft() + self.timing.semaphore)
        if item.packet.name == "HALT":
            start = max([start, *(e[-1] for e in self.ends if e)])
        # an engine holds two packets, the second only prepares
        accept = max(start, ends[-2]) if len(ends) > 1 else start
        key = (item.queue, cost.path)
        begin = max(accept + cost.setup, self.paths.get(key, 0))
        work = cost.cycles - cost.setup
        end = self.sharing.finish(cost.resource, item.queue, begin, work) if cost.yields else begin + work
        if cost.share:
            self.taken.take(cost.resource, item.queue, begin, end, cost.share)
        self.paths[key] = end
        if ends:
            start, end = max(start, ends[-1]), max(end, ends[-1] + 1)
        ends.append(end)
        accepts.append(accept)
        return start, end

    def report(self) -> TimingReport:
        """Totals and counters."""
        macs: dict[int, int] = {}
        for source in self.program.sources:
            macs[source.packet] = macs.get(source.packet, 0) + source.macs
        packets = [
            PacketTiming(
                i.number, i.packet.name, i.packet.queue, start, end, i.cost.cycles, macs.get(i.number, 0), i.cost.bound
            )
            for i, (start, end) in zip(self.items, self.spans, strict=True)
        ]
        costs = [i.cost for i in self.items]
        total = max(p.end for p in packets)
        counters = dict.fromkeys((name for name, _ in COUNTERS), 0)
        counters.update(
            cycles=total,
            packets=len(packets),
            mac_busy=sum(c.mac_busy for c in costs),
            act_conflict=sum(c.conflicts for c in costs),
            read_beats=sum(c.read_beats for c in costs) + PACKET_BYTES // BEAT_BYTES * self._fetched(),
            write_beats=sum(c.write_beats for c in costs),
        )
        counters.update({name: self._active(queue) for queue, name in enumerate(_ACTIVE)})
        return TimingReport(total, packets, counters)

    def _fetched(self) -> int:
        """Packets that fetch reads, those ahead included: up to whole groups, anew behind a JUMP and in a long loop."""
        group, ahead = self.timing.prefetch_group, self.timing.prefetch_packets
        total, first = 0, self.lines[self.items[0].number]
        highest = first
        for index, item in enumerate(self.items):
            highest = max(highest, self.lines[item.number])
            if index + 1 == len(self.items) or item.packet.name == "JUMP" or self._refetches(index):
                total += (highest + 1 + ahead) // group * group - first
                if index + 1 < len(self.items):
                    first = highest = self.lines[self.items[index + 1].number]
        return total

    def _active(self, queue: int) -> int:
        """Cycles in which the queue's engine held a packet."""
        total = until = 0
        for accept, end in zip(self.accepts[queue], self.ends[queue], strict=True):
            total += max(0, end - max(accept, until))
            until = max(until, end)
        return total
