"""SET: give an index register its value."""

from __future__ import annotations

from collections.abc import Iterator

from vla_isa.access import Access, Params
from vla_isa.cost import Cost, Timing
from vla_isa.fields import Field, pack_fields
from vla_isa.footprint import access, item_words
from vla_isa.generated import codes
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.shared_fields import header
from vla_isa.packet import FETCH, Instruction, Packet

__all__ = ["SET"]


def _reads(packet: Packet) -> bool:
    return packet["source"] == codes.SetSource.ITEM


def _act_bases(packet: Packet) -> tuple[str, ...]:
    return ("base",) if _reads(packet) else ()


def _footprint(packet: Packet, hw: HardwareConfig, params: Params | None) -> Iterator[Access]:
    if _reads(packet):
        yield access("act", False, "item", item_words(packet, "base", 1, hw))


def _cost(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    setup = timing.set_item * _reads(packet)
    return Cost(setup + timing.fetch_overhead, "latency", setup=setup)


SET = Instruction(
    name="SET",
    opcode=0x09,
    queue=FETCH,
    summary="Index register = an immediate, or the low 32 bits, signed, of an item in the activation scratchpad, which "
    "must be from 0 to below count. Fetch waits for its semaphores and the item before it goes on; all registers are 0 "
    "at the start.",
    fields=pack_fields(
        [
            *header(),
            Field("register", 2, "which index register"),
            Field("source", 1, "where the value comes from", enum=("immediate", "item"), code="SetSource"),
            Field("immediate", 16, "the value"),
            Field("base", 20, "activation word of the item", below="act_words"),
            Field("count", 16, "an item that is not below stops the machine with INDEX_RANGE", minimum=1),
        ]
    ),
    footprint=_footprint,
    cost=_cost,
    act_bases=_act_bases,
)
