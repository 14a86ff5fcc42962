"""Is a program legal? Do its queues and semaphores order every pair of conflicting accesses?

A program is legal when, for every entry point,
(a) executed one packet at a time in program order, no packet waits, and every semaphore is zero at HALT;
(b) each semaphore has one signalling and one waiting queue, and each conflicting pair of accesses in
    different queues is ordered: the k-th wait of a semaphore follows its k-th signal, queues are in order,
    and what follows a JUMP is dispatched after it;
(c) no semaphore exceeds 255 in any execution that respects these orders;
(d) a packet's own accesses do not depend on the order inside it: it writes no word twice, and writes no
    word it reads, except where its instruction goes element by element over one and the same region
    (`Instruction.in_place`: VEC, ROW, RECIP, and the residuals of CONV and GEMM);
(e) no packet writes an instruction heap or a constant.

Not here: addresses outside a memory (`validate.py`); what is computed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla_isa.access import Access
from vla_isa.errors import HazardError
from vla_isa.generated.codes import LARGEST_COUNT, SEMAPHORES
from vla_isa.hardware import LINE_BYTES
from vla_isa.instructions.shared_fields import PLACE_FIELDS
from vla_isa.ordering import QUEUE_NAMES, Clock, Conflict, WordHistory, bits, queue_number
from vla_isa.packet import Packet
from vla_isa.program import Program
from vla_isa.trace import Step, describe, walk

__all__ = ["check", "checking", "followed_spaces", "same_region"]


def check(program: Program) -> None:
    """Raise when a program is not legal.

    Raises:
        HazardError: names both packets (number, instruction, node), the memory and the word.
        ProgramError: the program cannot be followed (see `trace.walk`).
    """
    checked = checking(program)
    for entry in program.entries.values():
        for _ in checked(walk(program, entry)):
            pass


def checking(program: Program) -> Callable[[Iterable[Step]], Iterator[Step]]:
    """What hands the steps of a run on, from its start to HALT, and raises a `HazardError` as `check` does."""
    forbidden = _fixed_lines(program)

    def checked(steps: Iterable[Step]) -> Iterator[Step]:
        run = _Run(program, WordHistory(followed_spaces(program)), forbidden)
        for step in steps:
            run.step(step)
            yield step
        run.finish(step)

    return checked


def followed_spaces(program: Program) -> dict[str, int]:
    """Words of every space that packets can write; the weight space in HBM is only read."""
    hw = program.config
    return {
        "data": program.data_bytes // LINE_BYTES,
        "act": hw.act_words,
        "weight": hw.weight_words,
        "param": hw.param_words,
    }


def _fixed_lines(program: Program) -> list[tuple[int, int, str]]:
    return [
        (s.line, s.line - (-len(s.data) // LINE_BYTES), what)
        for what, segments in (("an instruction heap", program.heaps), ("a constant", program.constants))
        for s in segments
    ]


@dataclass
class _Semaphore:
    """What is known of one semaphore so far."""

    signal_queue: int = -1
    wait_queue: int = -1
    signals: list[tuple[int, Clock]] = field(default_factory=list)  # packet number, clock after it
    wait_positions: list[int] = field(default_factory=list)  # queue positions of the packets that took one


@dataclass
class _Run:
    """The state of following one entry point."""

    program: Program
    history: WordHistory
    forbidden: list[tuple[int, int, str]]
    clocks: Clock = field(default_factory=lambda: np.zeros((len(QUEUE_NAMES), len(QUEUE_NAMES)), np.int64))
    queues: list[list[Step]] = field(default_factory=lambda: [[] for _ in QUEUE_NAMES])
    semaphores: list[_Semaphore] = field(default_factory=lambda: [_Semaphore() for _ in range(SEMAPHORES)])
    fixed: NDArray[np.int64] = field(init=False)  # first and last line of what is forbidden

    def __post_init__(self) -> None:
        """Index what is forbidden."""
        self.fixed = np.array([(start, end) for start, end, _ in self.forbidden], np.int64).reshape(-1, 2)

    def name(self, step: Step) -> str:
        return describe(self.program, step.number, step.packet)

    def step(self, step: Step) -> None:
        """Take the semaphores, check the accesses, give the signals."""
        queue = queue_number(step.packet)
        fetch = len(QUEUE_NAMES) - 1
        clock = np.maximum(self.clocks[queue], self.clocks[fetch])
        position = len(self.queues[queue]) + 1
        for s in bits(step.packet["wait"]):
            clock = np.maximum(clock, self._wait(step, queue, position, s))
        if step.packet.name == "HALT":  # waits until every queue is empty
            clock[:fetch] = [len(q) for q in self.queues[:fetch]]
        self._check_inside(step)
        for access in step.accesses:
            for conflict in self.history.conflicts(queue, access, clock):
                self._refuse(step, access, conflict)
        for access in step.accesses:
            self.history.record(queue, position, access)
        self.queues[queue].append(step)
        clock[queue] = position
        self.clocks[queue] = clock
        for s in bits(step.packet["signal"]):
            self._signal(step, queue, clock, s)

    def _wait(self, step: Step, queue: int, position: int, s: int) -> Clock:
        semaphore = self.semaphores[s]
        if semaphore.wait_queue not in (-1, queue):
            other = QUEUE_NAMES[semaphore.wait_queue]
            raise HazardError(
                f"{self.name(step)} waits for semaphore {s}, which queue {other} also waits "
                "for; use another semaphore, each has one waiting queue"
            )
        semaphore.wait_queue = queue
        taken = len(semaphore.wait_positions)
        if taken >= len(semaphore.signals):
            raise HazardError(
                f"{self.name(step)} would be wait {taken + 1} for semaphore {s}, but packets "
                f"before it signal it only {len(semaphore.signals)} times; it would deadlock"
            )
        semaphore.wait_positions.append(position)
        return semaphore.signals[taken][1]

    def _signal(self, step: Step, queue: int, clock: Clock, s: int) -> None:
        semaphore = self.semaphores[s]
        if semaphore.signal_queue not in (-1, queue):
            other = QUEUE_NAMES[semaphore.signal_queue]
            raise HazardError(
                f"{self.name(step)} signals semaphore {s}, which queue {other} also signals; "
                "use another semaphore, each has one signalling queue"
            )
        semaphore.signal_queue = queue
        semaphore.signals.append((step.number, clock))
        # waits surely taken when this signal comes: those of packets known complete, and this packet's own
        covered = clock[semaphore.wait_queue] if semaphore.wait_queue >= 0 else 0
        taken = bisect_right(semaphore.wait_positions, covered)
        count = len(semaphore.signals) - taken
        if count > LARGEST_COUNT:
            raise HazardError(
                f"{self.name(step)} may bring semaphore {s} to {count}, "
                f"more than {LARGEST_COUNT}; let its queue wait for the waiting queue in between"
            )

    def _check_inside(self, step: Step) -> None:
        """Rules (d) and (e)."""
        reads = [a for a in step.accesses if not a.write]
        for write in (a for a in step.accesses if a.write):
            if write.repeated:
                raise HazardError(
                    f"{self.name(step)} writes a {write.space} word of {write.words[0, 0]}.."
                    f"{write.words[-1, 1] - 1} more than once; its strides overlap"
                )
            for other in (a for a in step.accesses if a.write and a is not write):
                word = _common(write, other)
                if word is not None:
                    raise HazardError(
                        f"{self.name(step)} writes {write.space} word {word} as '{write.role}' and as '{other.role}'; "
                        "give one of them another place"
                    )
            for read in reads:
                word = _common(write, read)
                if word is not None and not (write.role == "out" and same_region(step.packet, read.role)):
                    raise HazardError(
                        f"{self.name(step)} writes {write.space} word {word}, which it also "
                        f"reads as '{read.role}'; give it another place for its result"
                    )
            if write.space == "data":
                first, last = write.words[0, 0], write.words[-1, 1]
                for i in np.flatnonzero((self.fixed[:, 0] < last) & (self.fixed[:, 1] > first)):
                    start, end, what = self.forbidden[i]
                    hit = write.words[(write.words[:, 0] < end) & (write.words[:, 1] > start)]
                    if len(hit):
                        line = max(start, int(hit[0, 0]))
                        raise HazardError(f"{self.name(step)} writes data line {line}, which belongs to {what}")

    def _refuse(self, step: Step, access: Access, conflict: Conflict) -> None:
        earlier = self.queues[conflict.queue][conflict.position - 1]
        verbs = ("writes" if conflict.earlier_writes else "reads", "writes" if access.write else "reads")
        word = "line" if conflict.space == "data" else "word"
        raise HazardError(
            f"{self.name(step)} {verbs[1]} {conflict.space} {word} {conflict.word}, which "
            f"{self.name(earlier)} {verbs[0]}; nothing orders them: let packet {earlier.number} or a later "
            f"one of queue {QUEUE_NAMES[conflict.queue]} signal a semaphore that packet {step.number} takes"
        )

    def finish(self, halt: Step) -> None:
        """At HALT every semaphore is zero."""
        for s, semaphore in enumerate(self.semaphores):
            left = len(semaphore.signals) - len(semaphore.wait_positions)
            if left:
                number = semaphore.signals[-left][0]
                raise HazardError(
                    f"{self.name(halt)}: semaphore {s} is {left}, not zero; nothing waits for "
                    f"the signal of packet {number}"
                )


def same_region(packet: Packet, role: str) -> bool:
    """Whether an operand and the result are one region, walked in one order."""
    one, values = role in packet.instruction.in_place(packet), packet.values
    places = [f for f in PLACE_FIELDS if f"{role}_{f}" in values and f"out_{f}" in values]
    return one and all(packet[f"{role}_{f}"] == packet[f"out_{f}"] for f in places)


def _common(a: Access, b: Access) -> int | None:
    """A word of both accesses, or None."""
    if a.space != b.space or a.words[0, 0] >= b.words[-1, 1] or b.words[0, 0] >= a.words[-1, 1]:
        return None
    at = np.searchsorted(b.words[:, 1], a.words[:, 0], side="right")
    near = np.minimum(at, len(b.words) - 1)
    hit = np.flatnonzero((at < len(b.words)) & (b.words[near, 0] < a.words[:, 1]))
    return int(max(a.words[hit[0], 0], b.words[near[hit[0]], 0])) if len(hit) else None
