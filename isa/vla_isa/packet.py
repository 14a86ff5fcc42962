"""An instruction of the table, with what it does, and a packet: an instruction with a value for every field.

What an instruction does are functions of a packet: what it touches, what it costs, what it means. Those of an
instruction that only waits, signals and steers fetch are the defaults.
Not here: the instructions themselves (`instructions/`), the check of the table (`table_check.py`) and the bytes of a
packet (`encoding.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from vla_isa.access import Access, Params
from vla_isa.cost import Cost, Timing
from vla_isa.errors import EncodingError
from vla_isa.fields import Field, Rule
from vla_isa.hardware import HardwareConfig
from vla_isa.memories import Memories
from vla_isa.operands import Operands

__all__ = ["FETCH", "LARGEST_COUNT", "QUEUES", "Instruction", "Packet", "only_fetched", "touches_nothing"]

QUEUES = ("wload", "load", "mac", "vec", "store")
FETCH = "fetch"  # what JUMP, HALT, SET and LOOP run in instead of a queue
LARGEST_COUNT = 255  # of a semaphore, which has 8 bits


class Touches(Protocol):
    """What a legal packet reads and writes; empty accesses are allowed."""

    def __call__(self, packet: Packet, hw: HardwareConfig, params: Params | None, /) -> Iterable[Access]:
        """The accesses; see `footprint.footprint` for the arguments and errors."""


class Costs(Protocol):
    """What a legal packet costs its engine."""

    def __call__(self, packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing, /) -> Cost:
        """The cost; see `engine_cycles.packet_cost` for the arguments."""


class Means(Protocol):
    """What a legal packet does to the memories, plainly; its output overlaps no input unless it equals one of them."""

    def __call__(self, packet: Packet, memories: Memories, /) -> None:
        """Change the memories."""


def touches_nothing(packet: Packet, hw: HardwareConfig, params: Params | None) -> Iterable[Access]:
    """The footprint of an instruction that touches no memory."""
    return ()


def only_fetched(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    """The cost of an instruction that ends in fetch."""
    return Cost(timing.fetch_overhead, "latency")


def _changes_nothing(packet: Packet, memories: Memories) -> None:
    """The meaning of an instruction that touches no memory."""


def _no_mask(packet: Packet) -> range:
    return range(0)


def _nothing_in_place(packet: Packet) -> tuple[str, ...]:
    return ()


def _bases(packet: Packet) -> tuple[str, ...]:
    """Every field that is below the words of the scratchpad."""
    return tuple(f.name for f in packet.instruction.value_fields if f.below == "act_words")


@dataclass(frozen=True)
class Instruction:
    """One opcode: its queue, its fields in packet order, its rules, and its meaning in a sentence.

    `queue` is a name of `QUEUES`, or `FETCH`, or the name of the field whose value decides: then `queues` has
    the queue of each value.
    `implemented` is False for opcodes whose fields are laid out but which no machine executes yet;
    dispatching one is ILLEGAL_OPCODE.

    Attributes:
        footprint, cost, meaning: what a packet touches, costs and does.
        mask_words: the parameter words whose contents decide what a packet touches; most have none.
        in_place: the operands (prefixes of region fields) that a packet reads element by element in the order of
            its result, so that they may be the result's own region.
        act_bases: the fields that hold the first activation words of a packet's operands and results.
        operands: small packets for conformance; None where there is nothing to compute.
    """

    name: str
    opcode: int
    queue: str
    summary: str
    fields: tuple[Field, ...]
    rules: tuple[Rule, ...] = ()
    queues: tuple[str, ...] = ()
    implemented: bool = True
    footprint: Touches = field(default=touches_nothing, repr=False, compare=False)
    cost: Costs = field(default=only_fetched, repr=False, compare=False)
    meaning: Means = field(default=_changes_nothing, repr=False, compare=False)
    mask_words: Callable[[Packet], range] = field(default=_no_mask, repr=False, compare=False)
    in_place: Callable[[Packet], tuple[str, ...]] = field(default=_nothing_in_place, repr=False, compare=False)
    act_bases: Callable[[Packet], tuple[str, ...]] = field(default=_bases, repr=False, compare=False)
    operands: Operands | None = field(default=None, repr=False, compare=False)
    by_name: dict[str, Field] = field(init=False, repr=False, compare=False)
    value_fields: tuple[Field, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the fields by name; those that carry a value are not the opcode and not reserved."""
        object.__setattr__(self, "by_name", {f.name: f for f in self.fields})
        values = tuple(f for f in self.fields if f.name != "opcode" and not f.reserved)
        object.__setattr__(self, "value_fields", values)

    def limit(self, name: str) -> int:
        """The largest legal value of a field, on the machine where it may be largest."""
        return self.by_name[name].legal_max

    def queue_of(self, values: Mapping[str, int]) -> str:
        """The queue in which a packet with these values runs."""
        return self.queues[values[self.queue]] if self.queues else self.queue

    def packet(self, **values: int) -> Packet:
        """A packet; fields not given are 0, or their minimum where 0 is not legal.

        Raises:
            EncodingError: an unknown field, or a value that its width cannot hold.
        """
        for key in values:
            if key not in self.by_name or key == "opcode" or self.by_name[key].reserved:
                raise EncodingError(f"{self.name} has no field '{key}'")
        full = {}
        for f in self.value_fields:
            value = int(values.get(f.name, max(f.legal_min, 0)))
            if not f.lowest <= value <= f.highest:
                raise EncodingError(
                    f"{self.name}.{f.name}: {value} does not fit; the field holds {f.lowest}..{f.highest}"
                )
            full[f.name] = value
        return Packet(self, full)


@dataclass(frozen=True)
class Packet:
    """An instruction with a value for every field (opcode and reserved bits apart)."""

    instruction: Instruction
    values: Mapping[str, int]

    def __getitem__(self, field: str) -> int:
        return self.values[field]

    def choice(self, field: str) -> str:
        """The name of the value of an enumerated field."""
        return self.instruction.by_name[field].enum[self.values[field]]

    @property
    def name(self) -> str:
        """The instruction's name."""
        return self.instruction.name

    @property
    def queue(self) -> str:
        """The queue it runs in: a name of `QUEUES`, or `FETCH`."""
        return self.instruction.queue_of(self.values)
