"""VEC: an elementwise function of two operands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from vla_isa import numerics
from vla_isa.access import Access, Params
from vla_isa.banks import Beats
from vla_isa.cost import Cost, Timing, Touches
from vla_isa.engine_cycles import vector_cost
from vla_isa.engine_words import VEC_READS, Stretch
from vla_isa.fields import Field, Rule, pack_fields
from vla_isa.footprint import access, require_fit, table_access, whole_region
from vla_isa.generated import codes
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.shared_fields import REGION_FIELDS, header, region, requantize, ring_rules, table
from vla_isa.instructions.shared_meaning import I64, act_word, look_up, pixel_address, put_act
from vla_isa.memories import Memories
from vla_isa.operands import (
    Arena,
    Operands,
    RegionUse,
    Rng,
    Values,
    draw_clamps,
    draw_int8,
    draw_number,
    draw_region,
    draw_table,
)
from vla_isa.packet import Instruction, Packet

__all__ = ["VEC"]

_FUNCTIONS = ("add", "sub", "mul", "max", "min", "abs", "shift", "select")


def _in_place(packet: Packet) -> tuple[str, ...]:
    """Tensors are read element by element."""
    return ("a", "b") if packet["b_kind"] == codes.BKind.TENSOR else ("a",)


def _act_bases(packet: Packet) -> tuple[str, ...]:
    return ("a_base", "out_base") if packet["b_kind"] == codes.BKind.SCALAR else ("a_base", "b_base", "out_base")


def _b_size(values: Mapping[str, int] | Packet) -> tuple[int, int, int]:
    """(rows, pixels, channel blocks) of b, where it is no scalar."""
    h, w, blocks = values["out_h"], values["out_w"], values["out_blocks"]
    if values["b_kind"] == codes.BKind.ROW:
        return 1, 1, blocks
    return (h, w, 1) if values["b_kind"] == codes.BKind.COLUMN else (h, w, blocks)


def _footprint(packet: Packet, hw: HardwareConfig, params: Params | None) -> Iterator[Access]:
    v = packet.values
    h, w, blocks = v["out_h"], v["out_w"], v["out_blocks"]
    require_fit(packet, "out", h * w * blocks, hw.act_words, "activation scratchpad")
    yield access("act", False, "a", whole_region(packet, "a", h, w, blocks))
    if v["b_kind"] != codes.BKind.SCALAR:
        yield access("act", False, "b", whole_region(packet, "b", *_b_size(packet)))
    yield from table_access(packet, hw)
    yield access("act", True, "out", whole_region(packet, "out", h, w, blocks))


def _cost(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    v = packet.values
    words = v["out_h"] * v["out_w"] * v["out_blocks"]
    reading = timing.vec_table + 2 * -(-codes.TABLE_BYTES // hw.param_word_bytes) if v["table_enable"] else 0
    bound = "compute" if words > 2 * reading else "latency"
    return vector_cost(
        -(-words // 2),
        reading + timing.vec_overhead,
        bound,
        timing.vec_setup,
        Touches(reads=partial(_reads, packet, reading)),
    )


def _reads(packet: Packet, table: int, done: float) -> Beats:
    """Two words of each operand in a cycle, channel block by channel block; each operand is a walk of its own."""
    shape = (packet["out_blocks"], packet["out_h"], packet["out_w"])
    count = int(np.prod(shape))
    part = Stretch.of(-(-count // 2), 1, done)
    index = 2 * part.jobs[:, None] + np.arange(2)
    c, y, x = np.unravel_index(np.minimum(index, count - 1), shape)
    places = {"a": (y, c, x)}
    if packet["b_kind"] != codes.BKind.SCALAR:
        row, column = (packet["b_kind"] == kind for kind in (codes.BKind.ROW, codes.BKind.COLUMN))
        places["b"] = (y * (not row), c * (not column), x * (not row))
    words = np.concatenate([pixel_address(packet, p, *place) for p, place in places.items()], axis=1)
    return Beats.of(
        np.where(np.tile(index, len(places)) < count, words, -1), all=part.all, walk=2, starts=VEC_READS, waits=table
    )


def _meaning(packet: Packet, memories: Memories) -> None:
    for c in range(packet["out_blocks"]):
        for y in range(packet["out_h"]):
            for x in range(packet["out_w"]):
                a = act_word(memories, pixel_address(packet, "a", y, c, x))
                b = _operand_b(packet, memories, y, c, x)
                q = numerics.elementwise(
                    packet.choice("function"),
                    a,
                    b,
                    a_zero=packet["a_zero"],
                    b_zero=packet["b_zero"],
                    a_mult=packet["a_mult"],
                    b_mult=packet["b_mult"],
                    shift=packet["shift"],
                    rounding=packet["rounding"],
                    out_zero=packet["out_zero"],
                    lo=packet["lo"],
                    hi=packet["hi"],
                )
                put_act(memories, pixel_address(packet, "out", y, c, x), look_up(packet, memories, q))


def _operand_b(packet: Packet, memories: Memories, y: int, c: int, x: int) -> I64:
    """Operand b: a tensor, a row, a column or a scalar."""
    if packet["b_kind"] == codes.BKind.TENSOR:
        return act_word(memories, pixel_address(packet, "b", y, c, x))
    if packet["b_kind"] == codes.BKind.ROW:
        return act_word(memories, pixel_address(packet, "b", 0, c, 0))
    if packet["b_kind"] == codes.BKind.COLUMN:
        return act_word(memories, pixel_address(packet, "b", y, 0, x))[:1]
    return np.full(1, packet["b_scalar"], np.int64)


def _draw(
    rng: Rng,
    arena: Arena,
    *,
    in_ring: bool | None = None,
    out_ring: bool | None = None,
    in_place: bool | None = None,
    **fixed: int,
) -> Values:
    """A VEC. Choices: rings, `in_place` (output = a), any field."""
    shift = fixed.get("shift", draw_number(rng, 15, 30))
    v: Values = {
        "function": int(rng.integers(len(codes.VecFunction))),
        "b_kind": int(rng.integers(len(codes.BKind))),
        "b_scalar": draw_int8(rng),
        "out_h": draw_number(rng, 1, 4),
        "out_w": draw_number(rng, 1, 9),
        "out_blocks": draw_number(rng, 1, 3),
        "a_zero": draw_int8(rng),
        "b_zero": draw_int8(rng),
        "a_mult": draw_number(rng, 0, VEC.limit("a_mult")),
        "b_mult": draw_number(rng, 0, VEC.limit("a_mult")),
        "shift": shift,
        "table_enable": draw_number(rng, 0, 3) == 0,
        **draw_clamps(rng),
        **fixed,
    }
    rows, width, blocks = v["out_h"], v["out_w"], v["out_blocks"]
    v |= draw_region(rng, arena, "a", rows, width, blocks, ring=in_ring)
    if v["b_kind"] != codes.BKind.SCALAR:
        v |= draw_region(rng, arena, "b", *_b_size(v))
    if draw_number(rng, 0, 3) == 0 if in_place is None else in_place:
        v |= {f"out_{k}": v[f"a_{k}"] for k in REGION_FIELDS}
    else:
        v |= draw_region(rng, arena, "out", rows, width, blocks, ring=out_ring)
    if v["table_enable"]:
        v["table_base"] = arena.put_params(draw_table(rng))
    return v


VEC = Instruction(
    name="VEC",
    opcode=0x05,
    queue="vec",
    summary="Elementwise round_shift(f(a, b), shift) + out_zero, clamped, then the optional table. With "
    "A = a - a_zero and B = b - b_zero: add A*a_mult + B*b_mult; sub A*a_mult - B*b_mult; mul "
    "A*B*a_mult; max, min of A*a_mult and B*b_mult; abs |A|*a_mult; shift: A shifted left by B "
    "(right, arithmetic, if B < 0; B is first clamped to -15..15) * a_mult; select: A*a_mult where "
    "B > 0, else 0. b is a tensor; one row (one pixel per block, for all pixels); one column "
    "(channel 0 of one word per pixel, for all channels); or the scalar b_scalar.",
    fields=pack_fields(
        [
            *header(),
            Field("function", 4, "f", enum=_FUNCTIONS, code="VecFunction"),
            Field("b_kind", 2, "what b is", enum=("tensor", "row", "column", "scalar"), code="BKind"),
            Field("b_scalar", 8, "b when it is a scalar", signed=True),
            *region("a", "operand a", size=False),
            *region("b", "operand b", size=False),
            *region("out", "the output", size=True, blocks=True),
            Field("a_zero", 8, "zero point of a", signed=True),
            Field("b_zero", 8, "zero point of b", signed=True),
            Field("a_mult", 24, "multiplier of a"),
            Field("b_mult", 24, "multiplier of b"),
            Field("shift", 6, "shift of the scaled result"),
            *requantize(),
            *table(),
        ]
    ),
    rules=(
        *ring_rules("a", "out_h"),
        *ring_rules("out", "out_h"),
        Rule("b_kind == 3 || b_slot < b_ring", "the slot of row 0 lies in the ring of `b`"),
        Rule("b_kind == 1 || b_kind == 3 || out_h <= b_ring", "all rows of a tensor or column `b` are in its ring"),
    ),
    footprint=_footprint,
    cost=_cost,
    meaning=_meaning,
    in_place=_in_place,
    act_bases=_act_bases,
    operands=Operands(
        _draw,
        inputs=("b_base",),
        regions={p: RegionUse({"out_blocks": 2}, {"out_h": 2}) for p in ("a", "b", "out")},
        often=2,
    ),
)
