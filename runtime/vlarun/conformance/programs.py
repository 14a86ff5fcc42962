"""Build small whole programs: load operands, run packets one after the other, store the scratchpad.

Consecutive packets of different queues are ordered by a semaphore of that pair of queues, so a built
program is legal; another schedule of it comes from `vla_isa.schedules`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vla_isa.encoding import encode, make_packet
from vla_isa.fields import PACKET_BYTES
from vla_isa.generated.codes import Move
from vla_isa.hardware import HEAP_BYTES, LINE_BYTES, HardwareConfig
from vla_isa.instructions import ErrorCode
from vla_isa.instructions.copy import COPY
from vla_isa.packet import Packet
from vla_isa.program import Program, Segment
from vlarun.conformance.operations import Operation

__all__ = ["Builder", "Case", "copy_packet", "operation_program"]

MAX_RUN = COPY.limit("n0")


@dataclass(frozen=True)
class Case:
    """A program and how it must end.

    Attributes:
        id: the same on every backend: suite.group.name.
        stop_at: byte address of the packet that the machine refuses (None: it reaches HALT); earlier packets
            are complete.
        original: the program whose memory this one must leave (None: itself).
        visits: how often the packet at `stop_at` is reached until it is refused: in a loop, once a round.
    """

    id: str
    program: Program
    status: ErrorCode = ErrorCode.OK
    stop_at: int | None = None
    halt_code: int = 0
    original: Program | None = None
    visits: int = 1


def copy_packet(move: str, **values: int) -> Packet:
    """A COPY by the name of its move; counts not given are 1."""
    return make_packet("COPY", move=Move[move.upper()], **{"n0": 1, "n1": 1, "n2": 1, "n3": 1, **values})


@dataclass
class Builder:
    """Collects packets, constants and weights of one program."""

    hw: HardwareConfig
    packets: list[bytes] = field(default_factory=list)
    constants: list[Segment] = field(default_factory=list)
    weights: list[NDArray[np.int8]] = field(default_factory=list)
    line: int = HEAP_BYTES // LINE_BYTES
    _pairs: dict[tuple[str, str], int] = field(default_factory=dict)
    _last: Packet | None = None
    _last_at: int = 0  # its number

    @property
    def last(self) -> Packet | None:
        """The packet that `add` appended last, if nothing raw is behind it."""
        return self._last

    @property
    def address(self) -> int:
        """Byte address of the next packet."""
        return len(self.packets) * LINE_BYTES

    def reserve(self, size: int) -> int:
        """The first line of `size` fresh bytes of the data space."""
        line, self.line = self.line, self.line + -(-size // LINE_BYTES)
        return line

    def constant(self, data: NDArray[np.int8] | NDArray[np.uint8]) -> int:
        """Put bytes into the data space; returns their line."""
        line = self.reserve(data.nbytes)
        self.constants.append(Segment(line, data.tobytes()))
        return line

    def weight_words(self, words: NDArray[np.int8]) -> int:
        """Put words into the weight space; returns the first one's number."""
        base = sum(len(w) for w in self.weights)
        self.weights.append(words)
        return base

    def add(self, packet: Packet) -> None:
        """Append a packet that runs after the one before it."""
        if self._last is not None and self._last.queue != packet.queue:
            pair = (self._last.queue, packet.queue)
            bit = 1 << self._pairs.setdefault(pair, len(self._pairs))
            before = replace(self._last, values={**self._last.values, "signal": self._last["signal"] | bit})
            self.packets[self._last_at] = encode(before)
            packet = replace(packet, values={**packet.values, "wait": packet["wait"] | bit})
        self._last, self._last_at = packet, len(self.packets)
        self.packets.append(encode(packet))

    def raw(self, data: bytes) -> int:
        """Append 64 bytes as they are, unordered; returns their address."""
        address = self.address
        self.packets.append(data)
        self._last = None
        return address

    def loop(self, body: Callable[[], None], count: int, register: int = 0) -> int:
        """Append a loop with the packets that `body` adds; returns the address of the LOOP.

        A packet of one queue before the loop and at the end of its body signals, one of another queue at the start of
        its body and behind it waits, so that rounds follow one another.
        """
        first, last = copy_packet("act_to_data", n0=0), copy_packet("data_to_act", n0=0)
        self.add(last)
        at = len(self.packets)
        self.packets.append(b"")
        self.add(first)
        body()
        self.add(last)
        n = len(self.packets) - at - 1
        self.packets[at] = encode(make_packet("LOOP", n=n, count=count, register=register))
        self.add(first)
        return at * PACKET_BYTES

    def load_act(self, words: NDArray[np.int8], to: int = 0) -> None:
        """Load activation words int8 [n, B] to word `to`."""
        for first in range(0, len(words), MAX_RUN):
            part = words[first : first + MAX_RUN]
            self.add(copy_packet("data_to_act", src=self.constant(part), dst=to + first, n0=len(part)))

    def load_weight(self, words: NDArray[np.int8], to: int = 0) -> None:
        """Load weight words int8 [n, B*B] to word `to`."""
        if len(words):
            self.add(copy_packet("weight_to_weight", src=self.weight_words(words), dst=to, n0=len(words)))

    def load_param(self, words: NDArray[np.uint8], to: int = 0) -> None:
        """Load parameter words uint8 [n, 8*B] to word `to`."""
        if len(words):
            self.add(copy_packet("data_to_param", src=self.constant(words), dst=to, n0=len(words)))

    def store_act(self, base: int, words: int) -> int:
        """Store activation words; returns the line they go to."""
        line = self.reserve(words * self.hw.act_word_bytes)
        self.add(copy_packet("act_to_data", src=base, dst=line, n0=words))
        return line

    def halt(self, code: int = 0) -> None:
        """Append HALT."""
        self.add(make_packet("HALT", code=code))

    def build(self, entry: int = 0) -> Program:
        """The program; its data space ends after the last reserved line."""
        weights = np.concatenate(self.weights) if self.weights else np.zeros((0, self.hw.weight_word_bytes), np.int8)
        return Program(
            config=self.hw,
            heaps=[Segment(0, b"".join(self.packets))],
            constants=self.constants,
            weights=weights,
            data_bytes=self.line * LINE_BYTES,
            entries={"main": entry},
            inputs=[],
            outputs=[],
        )


def load_operands(builder: Builder, operations: list[Operation]) -> None:
    """Load the memories of operations that share one arena."""
    last = operations[-1]
    if len(last.act):
        builder.load_act(last.act)
    builder.load_weight(last.weight)
    builder.load_param(last.param)


def operation_program(operations: list[Operation], halt_code: int = 0) -> Program:
    """Load the operands of operations with a common arena, run them in order, store the whole arena."""
    builder = Builder(operations[0].arena.hw)
    load_operands(builder, operations)
    for one in operations:
        builder.add(one.packet)
    builder.store_act(0, len(operations[-1].act))
    builder.halt(halt_code)
    return builder.build()
