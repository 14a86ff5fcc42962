"""Performance model: how many cycles a program takes, packet by packet, without running it.

Each packet gets the cycles its engine needs (`engine_cycles.py`); the five queues then run in parallel (`queues.py`),
held back by dispatch (`dispatch.py`), queue depth, semaphores and what they share (`sharing.py`), as in the machine.
Values never matter: the machine's timing does not depend on data. Memory is the reference memory (read latency 64,
one 32-byte beat per cycle and master, 8 bursts in flight, write response after 64). Not modelled: random stalls; reads
of fetch that wait for bursts of others.
"""

from __future__ import annotations

from dataclasses import dataclass

from vla_isa.cost import REFERENCE, Cost, Timing
from vla_isa.dispatch import Dispatch
from vla_isa.encoding import decode
from vla_isa.engine_cycles import packet_cost
from vla_isa.errors import ProgramError
from vla_isa.ordering import queue_number
from vla_isa.packet import Packet
from vla_isa.program import Program
from vla_isa.queues import Queues
from vla_isa.registers import COUNTERS
from vla_isa.trace import Step, describe, packet_lines, packets, walk

__all__ = ["PacketTiming", "TimingReport", "estimate"]

# the counter that says how long each queue ran a packet
_ACTIVE = ("wload_active", "load_active", "mac_active", "vec_active", "store_active")
_NO_COST = {"wait", "signal", "weight_base", "param_base"}  # fields that change no cost, but of packets with masks


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
    seen = program.at(entry)
    return _Run(seen, next(iter(seen.entries.values())), timing).report()


class _Run:
    """The executed packets in time."""

    def __init__(self, program: Program, entry: int, timing: Timing) -> None:
        words, all_lines = packets(program), packet_lines(program)
        decoded: dict[int, Packet] = {}
        self._program, self._timing = program, timing
        self._numbers, self._packets, self._costs = list[int](), list[Packet](), list[Cost]()
        self._alike: dict[tuple[object, ...], Cost] = {}
        known: dict[int, tuple[Packet, Cost]] = {}  # of packets without masks, the last time
        for step in walk(program, entry):
            self._numbers.append(step.number)
            if step.number not in known or known[step.number][0] != step.packet:
                known[step.number] = step.packet, self._cost(step)
            self._costs.append(known[step.number][1])
            if step.packet.instruction.mask_words(step.packet):
                del known[step.number]
            if step.number not in decoded:
                decoded[step.number] = decode(words[step.number])
            self._packets.append(decoded[step.number])
        self._lines = [all_lines[n] for n in self._numbers]
        self._queues = [queue_number(p) for p in self._packets]
        dispatch = Dispatch(self._packets, self._lines, timing)
        run = Queues(self._packets, self._queues, self._costs, dispatch, program.config.queue_depth, timing)
        run.run()
        if (stands := run.stands) is not None:
            index, semaphore = stands
            where = describe(program, self._numbers[index], self._packets[index])
            raise ProgramError(f"{where} waits for semaphore {semaphore}, which nothing signals; it would deadlock")
        self._spans = run.spans
        self._reads = dispatch.reads

    def _cost(self, step: Step) -> Cost:
        """Of a packet; layers are alike, and alike packets have one: then what they do side by side is known, too."""
        packet, hw = step.packet, self._program.config
        if packet.instruction.mask_words(packet):
            return packet_cost(packet, hw, step.params, self._timing)
        key = (packet.name, *(v for name, v in packet.values.items() if name not in _NO_COST))
        if key not in self._alike:
            self._alike[key] = packet_cost(packet, hw, step.params, self._timing)
        return self._alike[key]

    def report(self) -> TimingReport:
        """Totals and counters."""
        macs: dict[int, int] = {}
        for source in self._program.sources:
            macs[source.packet] = macs.get(source.packet, 0) + source.macs
        packets, before = list[PacketTiming](), dict[str, int]()
        for n, p, cost, span in zip(self._numbers, self._packets, self._costs, self._spans, strict=True):
            start = max(span.take, before.get(p.queue, 0))
            before[p.queue] = span.done
            packets.append(PacketTiming(n, p.name, p.queue, start, span.done, cost.cycles, macs.get(n, 0), cost.bound))
        costs = self._costs
        total = packets[-1].end
        fetched = sum(max(0, min(end, total + 1) - first) for first, end in self._reads)
        counters = dict.fromkeys((name for name, _ in COUNTERS), 0)
        counters.update(
            cycles=total,
            packets=len(packets),
            mac_busy=sum(c.mac_busy for c in costs),
            act_conflict=sum(c.conflicts for c in costs),
            read_beats=sum(c.read_beats for c in costs) + fetched,
            write_beats=sum(c.write_beats for c in costs),
        )
        counters.update({name: self._active(queue) for queue, name in enumerate(_ACTIVE)})
        return TimingReport(total, packets, counters)

    def _active(self, queue: int) -> int:
        """Cycles in which the queue's engine held a packet."""
        total = until = 0
        for number, span in zip(self._queues, self._spans, strict=True):
            if number == queue:
                total += max(0, span.done - max(span.give, until))
                until = max(until, span.done)
        return total
