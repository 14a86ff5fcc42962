"""Walk a program in its meaning: one packet at a time, following JUMP, with the parameter memory's contents.

Shared by the load-time checks, the hazard checker, the schedule generator and the performance model.
Computes no activations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vla_isa.access import Access, Params
from vla_isa.encoding import decode, illegal
from vla_isa.errors import IndexRangeError, ProgramError
from vla_isa.fetch import Fetch, indexed
from vla_isa.fields import PACKET_BYTES
from vla_isa.footprint import footprint
from vla_isa.generated import codes
from vla_isa.hardware import LINE_BYTES, HardwareConfig
from vla_isa.instructions import ErrorCode
from vla_isa.intervals import expand, merge
from vla_isa.packet import Packet
from vla_isa.program import Program, Segment

__all__ = ["MOST_STEPS", "ParamMemory", "Step", "describe", "packet_lines", "packets", "walk"]

MOST_STEPS = 1_000_000  # packets of a run; more are no program for this machine
MOST_INTERVALS = 1 << 16  # of the words that an indexed packet may touch


@dataclass(frozen=True)
class Step:
    """One executed packet: its number, itself, what it touches, and the parameter memory as it sees it.

    The packet is as it leaves fetch: with its index added, for the first value that the register may have; what it
    touches is for all of them.

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

    def load(self, packet: Packet, accesses: list[Access], *, exact: bool = True) -> None:
        """Follow a COPY into the parameter memory; data that is no constant makes its words unknown.

        So does an index that is not known (`exact` False).
        """
        if packet.name != "COPY" or packet["move"] != codes.Move.DATA_TO_PARAM or not accesses:
            return
        if not exact:
            for access in (a for a in accesses if a.write):
                self.known[expand(access.words)] = False
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
    """The packets that entry point `entry` executes, in order, HALT included; those of a loop in every round.

    Args:
        program: heaps and constants as in a loaded program.
        entry: packet number to start at.
        stop_at_illegal: end quietly before a packet that dispatch refuses, as the machine does.

    Raises:
        ProgramError: an illegal packet, an access outside its memory, a JUMP to no heap, a heap that ends
            without JUMP or HALT or inside a loop, a packet reached by a JUMP twice, an index register outside its
            count, a mask that is not known before the run, or more than `MOST_STEPS` packets.
    """
    walker = _Walk(program, entry)
    for _ in range(MOST_STEPS):
        packet = walker.packet(stop_at_illegal)
        if packet is None:
            return
        yield (step := walker.step(packet))
        walker.memory.load(step.packet, step.accesses, exact=walker.exact)
        if packet.name == "HALT":
            return
        walker.advance(packet)
    raise ProgramError(f"the program executes more than {MOST_STEPS} packets; shorten its loops")


class _Walk:
    """The state of following one entry point."""

    def __init__(self, program: Program, entry: int) -> None:
        self._program, self._words, lines = program, packets(program), packet_lines(program)
        self._number_at = {line: n for n, line in enumerate(lines)}
        self._starts = {heap.line for heap in program.heaps}
        self._heap_end = {line: h.line + len(h.data) // PACKET_BYTES for h in program.heaps for line in _lines(h)}
        self._fetch = Fetch(lines[entry] * PACKET_BYTES)
        self._values: range | None = None  # of the index register of the packet that comes
        self._legal: dict[int, Packet] = {}  # packets by number
        self._seen: set[tuple[int, ...]] = set()  # packets, with the rounds of the loops around them
        self._known: dict[tuple[int, range | None], list[Access]] = {}  # footprints of packets of loops, without masks
        self.memory, self.number, self.exact = ParamMemory.of(program), entry, True

    def packet(self, stop_at_illegal: bool) -> Packet | None:
        """The packet that comes; None where the walk ends before it."""
        key = (self.number, *(loop.round for loop in self._fetch.loops))
        if key in self._seen:
            raise ProgramError(f"packet {self.number} is reached twice: a JUMP goes back; it must reach HALT")
        self._seen.add(key)
        packet, reason = self._decoded()
        if packet is not None:
            reason = self._fetch.refusal(packet) or self._loop_refusal(packet) or self._index_refusal(packet)
            if not reason:
                return packet
        if stop_at_illegal:
            return None
        raise ProgramError(f"packet {self.number} is illegal: {reason}")

    def _decoded(self) -> tuple[Packet | None, str]:
        """The packet that comes, or why dispatch refuses it; of a loop, once for all rounds."""
        if self.number not in self._legal:
            word = self._words[self.number]
            code, reason = illegal(word, self._program.config)
            if code is not ErrorCode.OK:
                return None, reason
            self._legal[self.number] = decode(word)
        return self._legal[self.number], ""

    def _index_refusal(self, packet: Packet) -> str:
        try:
            self._values = self._fetch.values(packet)
        except IndexRangeError as e:
            return str(e)
        return ""

    def _loop_refusal(self, packet: Packet) -> str:
        line = self._fetch.address // PACKET_BYTES
        if packet.name != "LOOP" or line + packet["n"] < self._heap_end[line]:
            return ""
        left = self._heap_end[line] - line - 1
        return f"its body of {packet['n']} packets ends behind its heap, which has {left} more"

    def step(self, packet: Packet) -> Step:
        """What a packet touches, for every value that its index register may have."""
        values = self._values
        first = packet if values is None else indexed(packet, values.start)
        self.exact = values is None or len(values) == 1
        accesses = self._known.get((self.number, values))
        if accesses is None:
            accesses = _accesses(self._program, self.number, first, self.memory, values, packet)
            if self._fetch.loops and not packet.instruction.mask_words(packet):  # others come once
                self._known[self.number, values] = accesses
        return Step(self.number, first, accesses, self.memory.data)

    def advance(self, packet: Packet) -> None:
        """Go to the next packet."""
        if packet.name == "JUMP" and packet["target"] not in self._starts:
            raise ProgramError(f"packet {self.number}: JUMP to data line {packet['target']}, where no heap starts")
        unknown = packet.name == "SET" and packet["source"] == codes.SetSource.ITEM
        self._fetch.advance(packet, range(packet["count"]) if unknown else None)
        line = self._fetch.address // PACKET_BYTES
        if line not in self._number_at:
            raise ProgramError(f"packet {self.number} is the last of its heap, but is neither JUMP nor HALT")
        self.number = self._number_at[line]


def _lines(heap: Segment) -> range:
    return range(heap.line, heap.line + len(heap.data) // PACKET_BYTES)


def _accesses(
    program: Program, number: int, packet: Packet, memory: ParamMemory, values: range | None, whole: Packet
) -> list[Access]:
    """The footprint, every word of it inside its memory.

    Args:
        packet: as dispatched for the first of `values`, the index register's; `whole`: with its index.
    """
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
        if values is not None and len(values) > 1:
            accesses = [_spread(a, whole, len(values)) for a in accesses]
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


def _spread(access: Access, packet: Packet, count: int) -> Access:
    """An access of the side that the index is added to, for `count` values of the register from the first on."""
    indexed_role = "table" if packet.name == "GATHER" else codes.IndexSide(packet["index_side"]).name.lower()
    if access.role != indexed_role:
        return access
    stride = packet["index_stride"]
    if len(access.words) * count > MOST_INTERVALS:  # all between the first and the last of each
        words = access.words + np.array([0, (count - 1) * stride])
    else:
        words = (access.words[:, None, :] + (np.arange(count) * stride)[None, :, None]).reshape(-1, 2)
    return replace(access, words=merge(words)[0])
