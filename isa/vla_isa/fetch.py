"""What fetch does between packets: the next address, index registers, loops, and the index added to a packet.

`Fetch` is the executable meaning of JUMP, SET and LOOP. A register's value is a `range`: one value in a machine, all
that it may have where a program is only followed (`trace.py`).
Not here: reading packets and checking them (`encoding.illegal`), semaphores.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from vla_isa.errors import IndexRangeError
from vla_isa.fields import PACKET_BYTES
from vla_isa.generated import codes
from vla_isa.hardware import LINE_BYTES
from vla_isa.numerics import item_index
from vla_isa.packet import Packet

__all__ = ["DEPTH", "REGISTERS", "Fetch", "Loop", "indexed", "item_value"]

DEPTH = 2  # of nested loops
REGISTERS = 4
_WRAP = (1 << 32) - 1  # of the addresses that an index is added to
_NOT_IN_LOOPS = ("JUMP", "HALT")


@dataclass(frozen=True)
class Loop:
    """A loop that runs: byte addresses of its first packet and behind its last, and the round it is in."""

    start: int
    end: int
    count: int
    register: int
    round: int = 0


@dataclass
class Fetch:
    """Where fetch is.

    Attributes:
        address: byte address of the next packet.
        registers: the index registers; 0 at first.
        loops: those that run, the outer one first.
    """

    address: int
    registers: list[range] = field(default_factory=lambda: [range(1)] * REGISTERS)
    loops: list[Loop] = field(default_factory=list)

    def refusal(self, packet: Packet) -> str:
        """Why dispatch refuses a packet at this place (FIELD_LIMIT); empty where it does not."""
        if not self.loops:
            return ""
        if packet.name in _NOT_IN_LOOPS:
            return f"{packet.name} inside a loop; it must stand behind the loop"
        if packet.name != "LOOP":
            return ""
        if len(self.loops) == DEPTH:
            return f"LOOP inside {DEPTH} loops; more are not nested"
        if _end(packet, self.address) > self.loops[-1].end:
            return "LOOP whose body ends behind the loop around it"
        return ""

    def values(self, packet: Packet) -> range | None:
        """The values that the packet's index register may have, None where it has no index.

        Raises:
            IndexRangeError: all of them are outside its declared count.
        """
        if not packet.values.get("index_enable"):
            return None
        number, count = packet["index_register"], packet["index_count"]
        found = self.registers[number]
        inside = range(found.start, min(found.stop, count))
        if not inside:
            raise IndexRangeError(
                f"{packet.name}: index register {number} is {found.start}, not below index_count {count}"
            )
        return inside

    def advance(self, packet: Packet, item: range | None = None) -> None:
        """Go on behind a packet; `item` is what SET reads, already checked."""
        if packet.name == "SET":
            immediate = packet["immediate"]
            self.registers[packet["register"]] = range(immediate, immediate + 1) if item is None else item
        if packet.name == "LOOP":
            start = self.address + PACKET_BYTES
            self.loops.append(Loop(start, _end(packet, self.address), packet["count"], packet["register"]))
            self.registers[packet["register"]] = range(1)
        self.address = packet["target"] * LINE_BYTES if packet.name == "JUMP" else self.address + PACKET_BYTES
        while self.loops and self.address == self.loops[-1].end:
            self._go_round()

    def _go_round(self) -> None:
        """At the end of the innermost body: back to its start, or out of it."""
        loop = self.loops.pop()
        loop = replace(loop, round=loop.round + 1)
        if loop.round == loop.count:
            return
        self.registers[loop.register] = range(loop.round, loop.round + 1)
        self.address = loop.start
        self.loops.append(loop)


def _end(packet: Packet, address: int) -> int:
    """Behind the body of the LOOP at an address."""
    return address + (1 + packet["n"]) * PACKET_BYTES


def indexed(packet: Packet, value: int) -> Packet:
    """The packet that fetch dispatches for a value of the index register: one without an index.

    GATHER's index is added to its table's base, COPY's to the side it names.
    """
    base = "table_base" if packet.name == "GATHER" else codes.IndexSide(packet["index_side"]).name.lower()
    shifted = (packet[base] + value * packet["index_stride"]) & _WRAP
    return replace(packet, values={**packet.values, base: shifted, "index_enable": 0})


def item_value(packet: Packet, value: int) -> range:
    """What SET makes of the value of its item.

    Raises:
        IndexRangeError: not from 0 to below its count.
    """
    index = int(item_index(np.array(value)))
    if not 0 <= index < packet["count"]:
        raise IndexRangeError(f"SET: the item is {index}, outside 0..{packet['count'] - 1}")
    return range(index, index + 1)
