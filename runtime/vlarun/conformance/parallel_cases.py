"""T4: packets of all five queues at once: many random ones, in no order, whose results touch nothing of each other.

Operands lie in the lower halves of the on-chip memories and are only read, results in the upper halves, each in words
of its own, so every order of the packets leaves the same bytes. The first packet of each queue waits for the operands;
the last one signals the STORE that ends the program.
Not here: packets that depend on each other (`random_cases`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vla_isa.encoding import encode
from vla_isa.footprint import footprint
from vla_isa.hardware import LINE_BYTES, HardwareConfig
from vla_isa.instructions import TABLE
from vla_isa.operands import Arena, Rng, draw_int8, draw_number
from vla_isa.packet import QUEUES, Packet
from vla_isa.program import Program
from vlarun.conformance.operations import make_operation
from vlarun.conformance.programs import Builder, Case, copy_packet

__all__ = ["PACKETS", "cases", "parallel_program"]

TRIES = 20  # draws of an instruction before its queue goes without
PACKETS = 150  # of a program, besides those that load and store
LINES = 512  # of the data space that COPYs read
STORED = 16384  # activation words that the last STORE shows where the memories are not compared
FIRST_READY, FIRST_DONE = 6, 11  # semaphores of queue q: the operands are there; it is done (not of STORE)


def cases(hw: HardwareConfig, programs: int, seed: int) -> Iterator[Case]:
    """One case per program."""
    for number in range(programs):
        program = parallel_program(np.random.default_rng([seed, number, 4]), hw)
        yield Case(f"T4.{seed}.{number:03d}", program)


def parallel_program(rng: Rng, hw: HardwareConfig, packets: int = PACKETS) -> Program:
    """Load operands, let the packets loose, store results; none of them has a second output.

    Args:
        rng: draws everything.
        hw: the machine.
        packets: how many run at once; where the memories hold no more results of a queue it gets fewer.
    """
    builder = Builder(hw)
    draw = _Draw(rng, hw, builder)
    found = (draw.packet(QUEUES[int(rng.integers(len(QUEUES)))]) for _ in range(packets))
    loose = [packet for packet in found if packet is not None]
    draw.load()
    _let_loose(builder, loose)
    builder.halt()
    return builder.build()


def _let_loose(builder: Builder, loose: list[Packet]) -> None:
    """Append the packets, the first of each queue behind the operands, and a STORE behind the last of each."""
    operands = builder.last
    assert operands is not None
    queues = {packet.queue for packet in loose}
    ready = {q: 1 << FIRST_READY + QUEUES.index(q) for q in queues - {operands.queue}}
    done = {q: 1 << FIRST_DONE + QUEUES.index(q) for q in queues - {"store"}}
    builder.packets[-1] = encode(_with(operands, "signal", sum(ready.values())))
    last = {packet.queue: number for number, packet in enumerate(loose)}
    for number, packet in enumerate(loose):
        waiting = _with(packet, "wait", ready.pop(packet.queue, 0))
        builder.raw(encode(_with(waiting, "signal", done.get(packet.queue, 0) if last[packet.queue] == number else 0)))
    base = builder.hw.act_words // 2
    words = min(base, STORED)
    line = builder.reserve(words * builder.hw.act_word_bytes)
    builder.add(copy_packet("act_to_data", src=base, dst=line, n0=words, wait=sum(done.values())))


def _with(packet: Packet, mask: str, semaphores: int) -> Packet:
    """The packet with more semaphores in its wait or signal mask."""
    return replace(packet, values={**packet.values, mask: packet[mask] | semaphores})


@dataclass
class _Draw:
    """Random packets with results in fresh words; `act` etc. are the next free words of the upper halves."""

    rng: Rng
    hw: HardwareConfig
    builder: Builder
    params: list[NDArray[np.uint8]] = field(default_factory=list)  # of the lower half
    operands: int = 1  # activation words that packets read
    weights: int = 1  # weight words that packets read
    act: int = field(init=False)
    weight: int = field(init=False)
    param: int = field(init=False)
    line: int = field(init=False)  # of what COPYs read

    def __post_init__(self) -> None:
        """The upper halves are free."""
        self.act, self.weight, self.param = (
            n // 2 for n in (self.hw.act_words, self.hw.weight_words, self.hw.param_words)
        )
        self.line = self.builder.constant(self.rng.integers(0, 256, LINES * LINE_BYTES, np.uint8))

    def load(self) -> None:
        """Load what the packets read."""
        hw, rng = self.hw, self.rng
        self.builder.load_act(rng.integers(-128, 128, (self.operands, hw.act_word_bytes), np.int8))
        self.builder.load_weight(rng.integers(-128, 128, (self.weights, hw.weight_word_bytes), np.int8))
        self.builder.load_param(np.concatenate([np.zeros((1, hw.param_word_bytes), np.uint8), *self.params])[1:])

    def packet(self, queue: str) -> Packet | None:
        """A packet of a queue, or None where there is no room for its result."""
        if queue in ("mac", "vec"):
            return self._compute(queue)
        return {"load": self._load, "wload": self._weights, "store": self._store}[queue]()

    def _compute(self, queue: str) -> Packet | None:
        """An instruction of the MAC or VEC queue; its output is moved to fresh words."""
        chosen = [i for i in TABLE if i.operands and i.queue == queue]
        for _ in range(TRIES):
            instruction = chosen[int(self.rng.integers(len(chosen)))]
            before = len(self.params)
            arena = Arena(self.hw, params=self.params)
            packet = make_operation(instruction.name, self.rng, arena).packet
            assert instruction.operands is not None
            moved, end = self._moved(packet, instruction.operands.output)
            full = sum(len(p) for p in self.params) > self.hw.param_words // 2 or end > self.hw.act_words
            if not full and self._written(moved)[0] == self.act:
                assert 2 * arena.act <= self.hw.act_words and 2 * arena.weight <= self.hw.weight_words
                self.operands, self.weights = max(self.operands, arena.act), max(self.weights, arena.weight)
                self.act = end
                return moved
            del self.params[before:]
        return None

    def _moved(self, packet: Packet, output: str) -> tuple[Packet, int]:
        """The packet with its first output word at the first free word, and the word behind its last one."""
        low, high = self._written(packet)
        return replace(packet, values={**packet.values, output: packet[output] + self.act - low}), self.act + high - low

    def _written(self, packet: Packet) -> tuple[int, int]:
        """The first activation word that a packet writes, and the one behind the last."""
        words = np.concatenate([a.words for a in footprint(packet, self.hw) if a.write])
        return int(words.min()), int(words.max())

    def _counts(self, longest: int) -> tuple[dict[str, int], int]:
        """Counts and destination strides of a COPY, and the words from its first to its last one."""
        n0, n1, n2, n3 = (draw_number(self.rng, 1, most) for most in (longest, 3, 3, 2))
        s1 = n0 + draw_number(self.rng, 0, 2)
        s2 = n1 * s1 + draw_number(self.rng, 0, 1)
        s3 = n2 * s2
        strides = {"dst_stride1": s1, "dst_stride2": s2, "dst_stride3": s3}
        return {"n0": n0, "n1": n1, "n2": n2, "n3": n3, **strides}, n3 * s3

    def _load(self) -> Packet | None:
        """From data or activations, or a pad value, to activations."""
        values, size = self._counts(40)
        if self.act + size > self.hw.act_words:
            return None
        move = ("data_to_act", "act_to_act", "fill_act")[int(self.rng.integers(3))]
        source = {"data_to_act": self.line, "act_to_act": int(self.rng.integers(self.operands)), "fill_act": 0}[move]
        packet = copy_packet(move, src=source, dst=self.act, pad=draw_int8(self.rng), **values)
        self.operands = max(self.operands, source + 40) if move == "act_to_act" else self.operands
        self.act += size
        return packet

    def _weights(self) -> Packet | None:
        """To the weight or the parameter memory."""
        values, size = self._counts(6)
        if self.rng.random() < 0.5:
            if self.param + size > self.hw.param_words:
                return None
            packet = copy_packet("data_to_param", src=self.line, dst=self.param, **values)
            self.param += size
            return packet
        if self.weight + size > self.hw.weight_words:
            return None
        words = self.rng.integers(-128, 128, (values["n0"], self.hw.weight_word_bytes), np.int8)
        packet = copy_packet("weight_to_weight", src=self.builder.weight_words(words), dst=self.weight, **values)
        self.weight += size
        return packet

    def _store(self) -> Packet:
        """From activations to fresh lines."""
        words, runs = draw_number(self.rng, 1, 60), draw_number(self.rng, 1, 6)
        lines = -(-words * self.hw.act_word_bytes // LINE_BYTES)
        source = int(self.rng.integers(self.operands))
        self.operands = max(self.operands, source + words)
        line = self.builder.reserve(runs * lines * LINE_BYTES)
        return copy_packet("act_to_data", src=source, dst=line, n0=words, n1=runs, dst_stride1=lines)
