"""Performance model: how many cycles a program takes, packet by packet, without running it.

Each packet gets the cycles its engine needs (`engine_cycles.py`); the five queues then run in parallel,
held back by dispatch, queue depth and semaphores, as in the machine. Values never matter: the machine's
timing does not depend on data. Memory is the reference memory (read latency 64, one 32-byte beat per
cycle and master, 8 bursts in flight, write response after 64). Not modelled: random stalls, and engines
that compete for one memory port or bank beyond what `engine_cycles.py` states.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from vla_isa.engine_cycles import REFERENCE, Cost, Timing, packet_cost
from vla_isa.errors import ProgramError
from vla_isa.ordering import QUEUE_NAMES, SEMAPHORES, bits, queue_number
from vla_isa.program import Program
from vla_isa.registers import COUNTERS
from vla_isa.trace import Step, describe, walk

__all__ = ["PacketTiming", "TimingReport", "estimate"]

_FETCH = len(QUEUE_NAMES) - 1
# the counter that says how long each queue ran a packet
_ACTIVE = ("wload_active", "load_active", "mac_active", "vec_active", "store_active")


@dataclass(frozen=True)
class PacketTiming:
    """When a packet ran: `start` and `end` in cycles from start, `cycles` its engine's own time.

    `bound` says what set `cycles`: "compute", "requantize", "memory" or "latency".
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
    macs: dict[int, int] = {}
    for source in program.sources:
        macs[source.packet] = macs.get(source.packet, 0) + source.macs
    run = _Run(program, timing)
    for step in walk(program, program.entries[name]):
        run.step(step, macs.get(step.number, 0))
    return run.report()


@dataclass
class _Run:
    """The queues while packets are placed in time, in program order."""

    program: Program
    timing: Timing
    dispatched: int = 0  # when the next packet can be dispatched
    free: list[int] = field(default_factory=lambda: [0] * len(QUEUE_NAMES))  # when each engine can start
    before: list[int] = field(default_factory=lambda: [0] * len(QUEUE_NAMES))  # end of the packet before that
    starts: list[list[int]] = field(default_factory=lambda: [[] for _ in QUEUE_NAMES])
    signals: list[deque[int]] = field(default_factory=lambda: [deque() for _ in range(SEMAPHORES)])
    packets: list[PacketTiming] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)

    def __post_init__(self) -> None:
        """The first packet arrives after a trip to the memory."""
        self.dispatched = self.timing.start + self.timing.read_latency

    def step(self, step: Step, macs: int) -> None:
        """Place one packet."""
        packet, queue = step.packet, queue_number(step.packet)
        cost = packet_cost(packet, self.program.config, step.params, self.timing)
        ready = self.dispatched
        depth = self.program.config.queue_depth
        if queue != _FETCH and len(self.starts[queue]) >= depth:  # dispatch stands while the queue is full
            ready = max(ready, self.starts[queue][-depth])
        self.dispatched = ready + self.timing.dispatch
        # the packet behind a COPY asks for its data meanwhile; an engine holds two packets
        free = self.before[queue] if cost.latency else self.free[queue]
        start = max(ready + self.timing.dispatch_latency, free)
        for s in bits(packet["wait"]):
            if not self.signals[s]:
                raise ProgramError(
                    f"{describe(self.program, step.number, packet)} waits for semaphore {s}, "
                    "which nothing signals; it would deadlock"
                )
            start = max(start, self.signals[s].popleft() + self.timing.semaphore)
        if packet.name == "HALT":
            start = max(start, *self.free[:_FETCH])
        end = max(start + cost.latency, self.free[queue]) + cost.cycles - cost.latency
        for s in bits(packet["signal"]):
            self.signals[s].append(end)
        if packet.name == "JUMP":
            self.dispatched = end + self.timing.read_latency
        self.before[queue], self.free[queue] = self.free[queue], end
        self.starts[queue].append(start)
        self.costs.append(cost)
        self.packets.append(
            PacketTiming(step.number, packet.name, packet.queue, start, end, cost.cycles, macs, cost.bound)
        )

    def report(self) -> TimingReport:
        """Totals and counters."""
        total = max(p.end for p in self.packets)
        counters = dict.fromkeys((name for name, _ in COUNTERS), 0)
        counters.update(
            cycles=total,
            packets=len(self.packets),
            mac_busy=sum(c.mac_busy for c in self.costs),
            act_conflict=sum(c.conflicts for c in self.costs),
            read_beats=sum(c.read_beats for c in self.costs) + 2 * len(self.packets),
            write_beats=sum(c.write_beats for c in self.costs),
        )
        for p in self.packets:
            if p.queue != "fetch":
                counters[_ACTIVE[QUEUE_NAMES.index(p.queue)]] += p.cycles
        return TimingReport(total, self.packets, counters)
