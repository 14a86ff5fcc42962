"""Several programs as one with an entry point each: weights and constants of equal bytes once, carried state in one
place.

Every region of a program's data space (an input, an output, a constant, a heap) moves as a whole, and every stretch of
weight words that its packets load; what packets say of them is written anew. Nothing on chip changes, so each entry
point does what its program did. Not here: how the graphs got one scale for what they share (`graphs.py`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vla_isa import hazards, validate
from vla_isa.encoding import decode, encode
from vla_isa.fields import PACKET_BYTES
from vla_isa.generated.codes import GatherMove, IndexSide, Move
from vla_isa.hardware import HEAP_BYTES, LINE_BYTES
from vla_isa.packet import Packet
from vla_isa.program import Interface, IoTensor, MapEntry, Program, Segment
from vla_isa.signature import HostOp
from vlac.errors import UnsupportedError

__all__ = ["Shared", "both_ends", "link"]

Words = NDArray[np.int8]
_ALIGN = 4096 // LINE_BYTES
_DATA_SIDE = {
    Move.DATA_TO_ACT: "src",
    Move.DATA_TO_PARAM: "src",
    Move.DATA_TO_WEIGHT: "src",
    Move.ACT_TO_DATA: "dst",
}
_IN_DATA = (GatherMove.GATHER_DATA, GatherMove.SCATTER_DATA)


@dataclass(frozen=True)
class Shared:
    """An output of one entry point that an input of another is, by the names of their models."""

    entry: str
    output: str
    reader: str
    given: str

    def __str__(self) -> str:
        """As the user writes it."""
        return f"{self.reader}:{self.given}={self.entry}:{self.output}"


@dataclass
class _Places:
    """Where stretches of a memory went: (first, end, new first), in order."""

    moved: list[tuple[int, int, int]] = field(default_factory=list)

    def new(self, address: int) -> int:
        """Where an address is now."""
        at = bisect_right(self.moved, address, key=lambda m: m[0]) - 1
        assert at >= 0 and address < self.moved[at][1], f"address {address} lies in no region"
        first, _, target = self.moved[at]
        return address - first + target


def link(programs: Mapping[str, Program], shared: Sequence[Shared]) -> Program:
    """One program of several for one config; the first has the first entry point.

    Args:
        programs: entry point name -> its program, which has one entry point.
        shared: state that one entry point hands to another.

    Raises:
        UnsupportedError: state whose two ends do not lie alike, or that the host computes.
        ProgramError, HazardError: a bug here: the program would not be legal.
    """
    for name, program in programs.items():
        if program.tasks is not None:
            text = "a program of several graphs has none; compile it alone, or take their masks out of its metadata"
            raise UnsupportedError([f"graph '{name}' has tasks: {text}"])
    first = next(iter(programs.values()))
    weights = _Weights(first.config.weight_word_bytes)
    space = _Space(_states(programs, shared))
    made = [_Part(name, program, space, weights, first=program is first) for name, program in programs.items()]
    entries, sources, count = {}, [], 0
    for part in made:
        entries[part.name] = count
        sources += [replace(s, packet=s.packet + count, node=f"{part.name}:{s.node}") for s in part.program.sources]
        count += sum(len(h.data) // PACKET_BYTES for h in part.heaps)
    layers = [
        {**layer, "node": f"{part.name}:{layer['node']}"}
        for part in made
        for layer in part.program.manifest.get("layers", [])
    ]
    policies = {part.name: policy for part in made for policy in part.program.policies.values()}
    graphs = {part.name: part.interface for part in made}
    mine = graphs.pop(made[0].name)
    linked = Program(
        config=first.config,
        heaps=[h for part in made for h in part.heaps],
        constants=space.constants,
        weights=weights.all(),
        data_bytes=-(-space.lines // 64) * 64 * LINE_BYTES,
        entries=entries,
        inputs=mine.inputs,
        outputs=mine.outputs,
        signature=mine.signature,
        others=graphs,
        memory_map=[*space.memory_map, *(m for part in made for m in part.on_chip(entries[part.name]))],
        sources=sources,
        manifest={"layers": layers, **({"policies": policies} if policies else {})},
    )
    validate.validate(linked, run=hazards.checking(linked))
    return linked


def _states(programs: Mapping[str, Program], shared: Sequence[Shared]) -> list[dict[str, IoTensor]]:
    """The tensors of each program, by its name, that lie in one place.

    Raises:
        UnsupportedError: they cannot.
    """
    groups: list[dict[str, IoTensor]] = []
    for each in shared:
        made, given = both_ends(programs, each)
        whole: dict[str, IoTensor] = {}
        for name, tensor in ((each.entry, made), (each.reader, given)):
            known = [g for g in groups if name in g and g[name].line == tensor.line] or [{name: tensor}]
            for group in known:
                groups = [g for g in groups if g is not group]
                _join(whole, group, each)
        groups.append(whole)
    return groups


def both_ends(programs: Mapping[str, Program], each: Shared) -> tuple[IoTensor, IoTensor]:
    """What one program makes, and what the other takes.

    Raises:
        UnsupportedError: the host computes with one of them.
    """
    return _made(programs[each.entry], each), _given(programs[each.reader], each)


def _join(whole: dict[str, IoTensor], group: Mapping[str, IoTensor], each: Shared) -> None:
    """Let what lies in one place be one group, where it all lies alike."""
    for name, tensor in group.items():
        if name in whole and whole[name].line != tensor.line:
            text = f"'{whole[name].name}' and '{tensor.name}' of '{name}' would be one; carry one to the other there"
            raise UnsupportedError([f"state {each} cannot stay in the data space: {text}"])
        for other in whole.values():
            if (other.layout, other.scale, other.zero_point) != (tensor.layout, tensor.scale, tensor.zero_point):
                text = (
                    "one graph reads it in another order, or with another scale, than the other writes it; carry it by "
                    "the host: give each run what the one before returned"
                )
                raise UnsupportedError([f"state {each} cannot stay in the data space: {text}"])
        whole[name] = tensor


def _made(program: Program, each: Shared) -> IoTensor:
    model = program.model
    source = next(o.source for o in model.outputs if o.name == each.output)
    value = model.value(source)
    if not isinstance(value, HostOp) or value.function != "Device":
        text = f"the host computes '{each.output}' from what the device makes"
        raise UnsupportedError([f"state {each} cannot stay in the data space: {text}"])
    return program.outputs[value.numbers[0]]


def _given(program: Program, each: Shared) -> IoTensor:
    model = program.model
    number = next(i for i, v in enumerate(model.inputs) if v.name == each.given)
    found = [t for t, source in zip(program.inputs, model.feeds, strict=True) if source == number]
    if len(found) != 1:
        why = f"the device takes it {len(found)} times" if found else "the host computes with it"
        raise UnsupportedError([f"state {each} cannot stay in the data space: {why}"])
    return found[0]


class _Space:
    """The data space of all."""

    def __init__(self, states: list[dict[str, IoTensor]]) -> None:
        self.lines = HEAP_BYTES // LINE_BYTES
        self.constants: list[Segment] = []
        self.memory_map: list[MapEntry] = []
        self._states = {(name, t.line): number for number, group in enumerate(states) for name, t in group.items()}
        self._placed: dict[int, int] = {}
        self._known: dict[bytes, int] = {}

    def take(self, lines: int, name: str) -> int:
        """Reserve lines; returns the first."""
        start = -(-self.lines // _ALIGN) * _ALIGN
        self.lines = start + lines
        self.memory_map.append(MapEntry(name, "data", start, lines, 0, 0))
        return start

    def place(self, entry: str, region: MapEntry, constants: list[Segment]) -> int:
        """The lines of a region: those of the state that it is, or of an equal constant, or new ones."""
        name, state = f"{entry}:{region.name}", self._states.get((entry, region.start))
        if state is not None:
            if state not in self._placed:
                self._placed[state] = self.take(region.size, name)
            return self._placed[state]
        if not constants:
            return self.take(region.size, name)
        whole = constants[0].data if len(constants) == 1 and constants[0].line == region.start else None
        if whole is not None and whole in self._known:
            return self._known[whole]
        line = self.take(region.size, name)
        self.constants += [Segment(c.line - region.start + line, c.data) for c in constants]
        if whole is not None:
            self._known[whole] = line
        return line


class _Weights:
    """The weight words of all; a stretch whose bytes are there already is not stored again."""

    def __init__(self, width: int) -> None:
        self._width, self._count = width, 0
        self._stored: list[Words] = []
        self._at: dict[bytes, list[int]] = {}  # a word -> where it is

    def all(self) -> Words:
        """The whole weight space."""
        return np.concatenate([np.zeros((0, self._width), np.int8), *self._stored])

    def place(self, words: Words) -> int:
        """The first word of a stretch."""
        for at in self._at.get(words[0].tobytes(), []) if len(words) else []:
            if at + len(words) <= self._count and np.array_equal(self._words(at, len(words)), words):
                return at
        start = self._count
        self._stored.append(words)
        self._count += len(words)
        for number, word in enumerate(words):
            self._at.setdefault(word.tobytes(), []).append(start + number)
        return start

    def _words(self, first: int, count: int) -> Words:
        if len(self._stored) > 1:
            self._stored = [self.all()]
        return self._stored[0][first : first + count]


class _Part:
    """One program in its new place."""

    def __init__(self, name: str, program: Program, space: _Space, weights: _Weights, *, first: bool) -> None:
        self.name, self.program = name, program
        packets = [[decode(p) for p in _split(h.data)] for h in program.heaps]
        self._data, self._weights = _Places(), _Places()
        heaps = {h.line for h in program.heaps}
        for region in sorted((m for m in program.memory_map if m.space == "data"), key=lambda m: m.start):
            if region.start not in heaps:
                end = region.start + region.size
                constants = [c for c in program.constants if region.start <= c.line < end]
                self._data.moved.append((region.start, end, space.place(name, region, constants)))
        for start, end in _stretches(p for heap in packets for p in heap):
            self._weights.moved.append((start, end, weights.place(np.asarray(program.weights[start:end]))))
        self._heaps = {
            h.line: 0 if first and not h.line else space.take(len(h.data) // LINE_BYTES, f"{name}:instructions")
            for h in program.heaps
        }
        self.heaps = [
            Segment(self._heaps[h.line], b"".join(encode(self._moved(p)) for p in heap))
            for h, heap in zip(program.heaps, packets, strict=True)
        ]

    @property
    def interface(self) -> Interface:
        """What its entry point takes and makes."""
        inputs, outputs = (
            [replace(t, line=self._data.new(t.line)) for t in tensors]
            for tensors in (self.program.inputs, self.program.outputs)
        )
        return Interface(inputs, outputs, self.program.signature)

    def on_chip(self, count: int) -> list[MapEntry]:
        """Its regions on chip, where so many packets are before its own."""
        return [
            replace(
                m,
                name=f"{self.name}:{m.name}",
                first_packet=m.first_packet + count,
                last_packet=m.last_packet + count,
            )
            for m in self.program.memory_map
            if m.space != "data"
        ]

    def _moved(self, packet: Packet) -> Packet:
        if packet.name == "JUMP":
            return replace(packet, values={**packet.values, "target": self._heaps[packet["target"]]})
        for name, places in self._fields(packet):
            packet = replace(packet, values={**packet.values, name: places.new(packet[name])})
        return packet

    def _fields(self, packet: Packet) -> Iterator[tuple[str, _Places]]:
        """The addresses of a packet outside the chip."""
        if packet.name == "GATHER" and packet["move"] in _IN_DATA:
            yield "table_base", self._data
        if packet.name != "COPY" or not packet["n0"] * packet["n1"] * packet["n2"] * packet["n3"]:
            return
        if packet["move"] == Move.WEIGHT_TO_WEIGHT:
            yield "src", self._weights
        elif packet["move"] in _DATA_SIDE:
            yield _DATA_SIDE[Move(packet["move"])], self._data


def _split(heap: bytes) -> list[bytes]:
    return [heap[i : i + PACKET_BYTES] for i in range(0, len(heap), PACKET_BYTES)]


def _stretches(packets: Iterable[Packet]) -> list[tuple[int, int]]:
    """First and end of the weight words that packets load; those that overlap are one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(_loaded(p) for p in packets if _loads_weights(p)):
        if found and start < found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def _loads_weights(packet: Packet) -> bool:
    if packet.name != "COPY" or packet["move"] != Move.WEIGHT_TO_WEIGHT:
        return False
    return bool(packet["n0"] * packet["n1"] * packet["n2"] * packet["n3"])


def _loaded(packet: Packet) -> tuple[int, int]:
    """The weight words between the first and the last that a load may take."""
    steps = sum((packet[f"n{i}"] - 1) * packet[f"src_stride{i}"] for i in (1, 2, 3))
    if packet["index_enable"] and packet["index_side"] == IndexSide.SRC:
        steps += (packet["index_count"] - 1) * packet["index_stride"]
    return packet["src"], packet["src"] + steps + packet["n0"]
