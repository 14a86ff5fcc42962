"""RECIP: reciprocals of items, as records for requantization per row."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.access import Access, Params
from vla_isa.banks import Beats
from vla_isa.cost import Cost, Timing, Touches
from vla_isa.engine_cycles import vector_cost
from vla_isa.engine_words import item_reads
from vla_isa.fields import Field, pack_fields
from vla_isa.footprint import access, item_words
from vla_isa.generated import codes
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.shared_fields import header
from vla_isa.instructions.shared_meaning import item, put_item
from vla_isa.memories import Memories
from vla_isa.operands import Arena, Operands, Rng, Values, draw_items, draw_number
from vla_isa.packet import Instruction, Packet

__all__ = ["RECIP"]


def _in_place(packet: Packet) -> tuple[str, ...]:
    """A record may take its item's place."""
    return ("in",)


def _footprint(packet: Packet, hw: HardwareConfig, params: Params | None) -> Iterator[Access]:
    yield access("act", False, "in", item_words(packet, "in_base", packet["n"], hw))
    yield access("act", True, "out", item_words(packet, "out_base", packet["n"], hw))


def _cost(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    work = packet["n"] + packet["n"] % 2  # pairs of items
    overhead = timing.recip_overhead + numerics.ITEM_BYTES // hw.act_word_bytes
    return vector_cost(
        work,
        overhead,
        "compute" if work > overhead else "latency",
        timing.row_setup,
        Touches(reads=partial(_reads, packet, hw)),
    )


def _reads(packet: Packet, hw: HardwareConfig, done: float) -> Beats:
    return item_reads(packet["in_base"], packet["n"], hw, done)


def _meaning(packet: Packet, memories: Memories) -> None:
    root = packet["function"] == codes.RecipFunction.RSQRT
    inverse = numerics.rsqrt if root else numerics.reciprocal
    for n in range(packet["n"]):
        value, second = item(memories, packet["in_base"], n)
        x = np.array(value, np.int64) + np.array(packet["add"], np.int64)  # wraps at 64 bits
        mult, shift = inverse(x, packet["mult"], packet["shift"])
        bias = -second if packet["bias"] == codes.RecipBias.MINUS_SECOND else 0
        put_item(memories, packet["out_base"], n, numerics.pack_row_records(bias, mult, shift))


def _draw(rng: Rng, arena: Arena, *, values: str = "usual", in_place: bool | None = None, **fixed: int) -> Values:
    """A RECIP. Choices: `in_place`, any field, `values` of the items ("usual", "zero", "negative", "edges")."""
    v: Values = {
        "function": draw_number(rng, 0, 1),
        "n": draw_number(rng, 1, 20),
        "mult": draw_number(rng, 1 << 23, RECIP.limit("mult")),
        "shift": draw_number(rng, 0, 40),
        "add": draw_number(rng, 0, 1 << draw_number(rng, 0, 56)) & RECIP.limit("add"),
        "bias": draw_number(rng, 0, 1),
        **fixed,
    }
    words = v["n"] * numerics.ITEM_BYTES // arena.hw.act_word_bytes
    v["in_base"] = arena.take_act(words)
    _, seconds = numerics.unpack_items(draw_items(rng, v["n"], 0, 0))
    arena.put_act(v["in_base"], numerics.pack_items(_draw_values(rng, v["n"], values), seconds))
    same = draw_number(rng, 0, 3) == 0 if in_place is None else in_place
    v["out_base"] = v["in_base"] if same else arena.take_act(words)
    return v


def _draw_values(rng: Rng, n: int, kind: str) -> NDArray[np.int64]:
    """Values of any number of bits, or around powers of two."""
    if kind == "zero":
        return np.zeros(n, np.int64)
    found: NDArray[np.int64] = rng.integers(0, 1 << 62, n) >> rng.integers(0, 63, n)
    if kind == "edges":
        edges: NDArray[np.int64] = (np.int64(1) << rng.integers(0, 63, n)) + rng.integers(-1, 2, n)
        return edges
    return -found - 1 if kind == "negative" else found


RECIP = Instruction(
    name="RECIP",
    opcode=0x07,
    queue="vec",
    summary="Per item with value v: K / (v + add) or K / sqrt(v + add) as a row record (bias i32, mult u24, shift u8, "
    "8 zero bytes), K = mult * 2^-shift, to 24 bits (numerics/reciprocal.py says each bit). mult and shift are 0 where "
    "v + add, which wraps at 64 bits, is not positive, or the shift would exceed 63. The bias is 0, or the item's "
    "second value negated, which wraps at 32 bits.",
    fields=pack_fields(
        [
            *header(),
            Field("function", 1, "which function", enum=("reciprocal", "rsqrt"), code="RecipFunction"),
            Field("in_base", 20, "activation word of the items", below="act_words"),
            Field("n", 16, "items", minimum=1),
            Field("mult", 24, "K, mantissa", minimum=1 << 23),
            Field("shift", 6, "K, shift"),
            Field("add", 56, "added to each value first (epsilon)"),
            Field("bias", 1, "bias of the records", enum=("zero", "minus_second"), code="RecipBias"),
            Field("out_base", 20, "activation word of the records", below="act_words"),
        ]
    ),
    footprint=_footprint,
    cost=_cost,
    meaning=_meaning,
    in_place=_in_place,
    operands=Operands(_draw, inputs=("in_base",)),
)
