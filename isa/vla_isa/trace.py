"""Walk a program in its meaning: one packet at a time, following JUMP, with the parameter memory's contents.

Shared by the load-time checks, the hazard checker, the schedule generator and the performance model.
Computes no activations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla_isa.access import Access, Params
from vla_isa.encoding import decode, illegal
from vla_isa.errors import ProgramError
from vla_isa.fields import PACKET_BYTES
from vla_isa.footprint import footprint
from vla_isa.generated import codes
from vla_isa.hardware import LINE_BYTES, HardwareConfig
from vla_isa.instructions import ErrorCode
from vla_isa.packet import Packet
from vla_isa.program import Program

__all__ = ["ParamMemory", "Step", "describe", "packet_lines", "packets", "walk"]


@dataclass(frozen=True)
class Step:
    """One executed packet: its number, itself, what it touches, and the parameter memory as it sees it.

    `params` is the walk's own array: it changes when the walk goes on.
    """

    number: int
    packet: Packet
    accesses: list[Access]
    params: Params


def packets(program: Program) -> list[bytes]:
    """The 64 bytes of every packet, by packet number."""
    return [heap.data[i : i + PACKET_BYTES] for heap in program.heaps for i in range(0, len(heap.data), PACKET_BYTES)]


def packet_lines(program: Program) -> list[int]:
    """The data-space line of every packet, by packet number."""
    return [heap.line + i for heap in program.heaps for i in range(len(heap.data) // PACKET_BYTES)]


def describe(program: Program, number: int, packet: Packet) -> str:
    """How messages name a packet: number, instruction, queue and ONNX node."""
    node = next((s.node for s in program.sources if s.packet == number), "")
    return f"packet {number} ({packet.name}, {packet.queue}{f', node {node!r}' if node else ''})"


@dataclass
class ParamMemory:
    """Contents of the parameter memory, and which words are known before a run: zero, or from constants."""

    hw: HardwareConfig
    constants: dict[int, NDArray[np.uint8]]  # first line -> bytes
    data: Params = field(init=False)
    known: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        """Start as the machine does: all zero."""
        self.data = np.zeros((self.hw.param_words, self.hw.param_word_bytes), np.uint8)
        self.known = np.ones(self.hw.param_words, np.bool_)

    @classmethod
    def of(cls, program: Program) -> ParamMemory:
        """Before the first packet of a program."""
        return cls(program.config, {s.line: np.frombuffer(s.data, np.uint8) for s in program.constants})

    def load(self, packet: Packet, accesses: list[Access]) -> None:
        """Follow a COPY into the parameter memory; data that is no constant makes its words unknown."""
        if packet.name != "COPY" or packet["move"] != codes.Move.DATA_TO_PARAM or not accesses:
            return
        v, width = packet.values, self.hw.param_word_bytes
        for i3, i2, i1 in np.ndindex(v["n3"], v["n2"], v["n1"]):
            line = v["src"] + i1 * v["src_stride1"] + i2 * v["src_stride2"] + i3 * v["src_stride3"]
            word = v["dst"] + i1 * v["dst_stride1"] + i2 * v["dst_stride2"] + i3 * v["dst_stride3"]
            rows = self._constant(line * LINE_BYTES, v["n0"] * width)
            self.known[word : word + v["n0"]] = rows is not None
            if rows is not None:
                self.data[word : word + v["n0"]] = rows.reshape(-1, width)

    def _constant(self, start: int, size: int) -> NDArray[np.uint8] | None:
        for line, data in self.constants.items():
            at = start - line * LINE_BYTES
            if at >= 0 and at + size <= data.size:
                return data[at : at + size]
        return None


def walk(program: Program, entry: int, *, stop_at_illegal: bool = False) -> Iterator[Step]:
    """The packets that entry point `entry` executes, in order, HALT included.

    Args:
        program: heaps and constants as in a loaded program.
        entry: packet number to start at.
        stop_at_illegal: end quietly before a packet that dispatch refuses, as the machine does.

    Raises:
        ProgramError: an illegal packet, an access outside its memory, a JUMP to no heap, a heap that ends
            without JUMP or HALT, a packet executed twice, or a mask that is not known before the run.
    """
    hw = program.config
    words, lines = packets(program), packet_lines(program)
    number_at = {line: n for n, line in enumerate(lines)}
    starts = {heap.line for heap in program.heaps}
    memory, seen, number = ParamMemory.of(program), set[int](), entry
    while True:
        if number in seen:
            raise ProgramError(f"packet {number} is reached twice: a JUMP goes back; it must reach HALT")
        seen.add(number)
        code, reason = illegal(words[number], hw)
        if code is not ErrorCode.OK:
            if stop_at_illegal:
                return
            raise ProgramError(f"packet {number} is illegal: {reason}")
        packet = decode(words[number])
        accesses = _accesses(program, number, packet, memory)
        yield Step(number, packet, accesses, memory.data)
        memory.load(packet, accesses)
        if packet.name == "HALT":
            return
        if packet.name == "JUMP" and packet["target"] not in starts:
            raise ProgramError(f"packet {number}: JUMP to data line {packet['target']}, where no heap starts")
        line = packet["target"] if packet.name == "JUMP" else lines[number] + 1
        if line not in number_at:
            raise ProgramError(f"packet {number} is the last of its heap, but is neither JUMP nor HALT")
        number = number_at[line]


def _accesses(program: Program, number: int, packet: Packet, memory: ParamMemory) -> list[Access]:
    """The footprint, every word of it inside its memory."""
    hw = program.config
    limits = {
        "data": program.data_bytes // LINE_BYTES,
        "weight_hbm": len(program.weights),
        "act": hw.act_words,
        "weight": hw.weight_words,
        "param": hw.param_words,
    }
    mask = packet.instruction.mask_words(packet)
    if mask and not memory.known[mask.start : mask.stop].all():
        where = describe(program, number, packet)
        raise ProgramError(
            f"{where}: its mask is loaded from data that is no constant, so what it touches "
            "cannot be known before the run; put the mask in a constant segment"
        )
    try:
        accesses = footprint(packet, hw, memory.data)
    except ProgramError as e:
        raise ProgramError(f"{describe(program, number, packet)}: {e}") from e
    for access in accesses:
        last, limit = int(access.words[-1, 1]) - 1, limits[access.space]
        if last >= limit:
            verb = "writes" if access.write else "reads"
            whose = "program" if access.space in ("data", "weight_hbm") else "machine"
            where = describe(program, number, packet)
            raise ProgramError(
                f"{where}: '{access.role}' {verb} {access.space} word {last}, outside the {limit} words of this {whose}"
            )
    return accesses
