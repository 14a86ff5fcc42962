"""REDUCE: one value per pixel of a matrix, over its channels; or a mask of the largest channels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from vla_isa import numerics
from vla_isa.access import Access, Params
from vla_isa.banks import Beats
from vla_isa.cost import Cost, Timing, Touches
from vla_isa.engine_cycles import row_cost
from vla_isa.engine_words import pair_reads
from vla_isa.fields import Field, pack_fields
from vla_isa.footprint import access, item_words, matrix_words
from vla_isa.generated import codes
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.shared_fields import header, matrix
from vla_isa.instructions.shared_meaning import I64, element, put_element, put_item
from vla_isa.memories import Memories
from vla_isa.operands import Arena, Operands, RegionUse, Rng, Values, draw_int8, draw_matrix, draw_number
from vla_isa.packet import Instruction, Packet

__all__ = ["REDUCE"]

_FUNCTIONS = ("sum", "max", "squares", "moments", "argmax", "topk_mask")
_MASK_PASSES = (4, 8)  # over the channels of an int8, an int16, to find the k-th largest: two bits in each


def _footprint(packet: Packet, hw: HardwareConfig, params: Params | None) -> Iterator[Access]:
    h, m, blocks = packet["h"], packet["m"], packet["blocks"]
    planes = blocks * (1 + packet["in_bytes"])
    yield access("act", False, "in", matrix_words(packet, "in", (h, m, planes), hw))
    if packet["function"] == codes.ReduceFunction.TOPK_MASK:
        yield access("act", True, "out", matrix_words(packet, "out", (h, m, blocks), hw, write=True))
    else:
        yield access("act", True, "out", item_words(packet, "out_base", h * m, hw))


def _cost(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    mask = packet["function"] == codes.ReduceFunction.TOPK_MASK
    passes = _MASK_PASSES[packet["in_bytes"]] if mask else 0  # and one more for the result
    items = 0 if mask else timing.reduce_item + numerics.ITEM_BYTES // hw.act_word_bytes
    pair = packet["blocks"] * (1 + passes) + timing.reduce_pass * passes
    return row_cost(packet, pair, timing.reduce_overhead + items, timing, Touches(reads=partial(_reads, packet, hw)))


def _reads(packet: Packet, hw: HardwareConfig, done: float) -> Beats:
    return pair_reads(packet, [("in", 1 + packet["in_bytes"], False)], None, 1, hw, done)


def _meaning(packet: Packet, memories: Memories) -> None:
    block = memories.hw.block
    for y in range(packet["h"]):
        for x in range(packet["m"]):
            words = [
                element(packet, memories, "in", y, c, x, wide=packet["in_bytes"] == 1) for c in range(packet["blocks"])
            ]
            q = np.concatenate(words)[: packet["channels"]] - packet["in_zero"]
            if packet["function"] == codes.ReduceFunction.TOPK_MASK:
                mask = np.zeros(packet["blocks"] * block, np.int64)
                mask[: len(q)] = numerics.topk_mask(q, packet["k"])
                for c in range(packet["blocks"]):
                    put_element(packet, memories, "out", y, c, x, mask[c * block :][:block])
            else:
                value, second = _reduced(packet, q)
                put_item(memories, packet["out_base"], y * packet["m"] + x, numerics.pack_items(value, second))


def _reduced(packet: Packet, q: I64) -> tuple[int, int]:
    """(value, second) of the item of a pixel."""
    function = packet["function"]
    if function == codes.ReduceFunction.MOMENTS:
        variance, total = numerics.moments(q, packet["channels"])
        return int(variance), int(total)
    if function == codes.ReduceFunction.ARGMAX:
        return int(q.argmax()), 0
    if function == codes.ReduceFunction.SQUARES:
        return int((q * q).sum()), 0
    return int(q.max() if function == codes.ReduceFunction.MAX else q.sum()), 0


def _draw(rng: Rng, arena: Arena, **fixed: int) -> Values:
    """A REDUCE. Choices: any field."""
    v: Values = {
        "function": int(rng.integers(len(_FUNCTIONS))),
        "h": draw_number(rng, 1, 3),
        "m": draw_number(rng, 1, 7),
        "blocks": draw_number(rng, 1, 3),
        "in_bytes": draw_number(rng, 0, 1),
        "in_zero": draw_int8(rng),
        "k": draw_number(rng, 0, 9),
        **fixed,
    }
    v.setdefault("channels", draw_number(rng, 1, v["blocks"] * arena.hw.block))
    v |= draw_matrix(rng, arena, "in", (v["h"], v["m"], v["blocks"] * (1 + v["in_bytes"])))
    if v["function"] == codes.ReduceFunction.TOPK_MASK:
        return v | draw_matrix(rng, arena, "out", (v["h"], v["m"], v["blocks"]))
    return v | {"out_base": arena.take_act(v["h"] * v["m"] * numerics.ITEM_BYTES // arena.hw.block)}


REDUCE = Instruction(
    name="REDUCE",
    opcode=0x06,
    queue="vec",
    summary="Per pixel of a matrix [h][blocks][m][B], over q = in - in_zero of its first `channels` channels. sum, max "
    "and squares (the sum of q^2) give the value of an item; moments: value channels * sum(q^2) - (sum q)^2, second "
    "value sum q; argmax: the index of the largest, the lowest of equal ones. Items are in pixel order, 16 bytes each: "
    "value of 64 bits, second value of 32, four zero bytes. topk_mask: a matrix of int8, 1 where a channel is among "
    "the k largest, of equal ones those of lower index, else 0.",
    fields=pack_fields(
        [
            *header(),
            Field("function", 3, "what is reduced", enum=_FUNCTIONS, code="ReduceFunction"),
            Field("h", 11, "rows", minimum=1),
            Field("m", 14, "pixels of a row", minimum=1),
            Field("blocks", 10, "channel blocks", minimum=1),
            Field("channels", 14, "real channels", minimum=1),
            *matrix("in", "the input"),
            Field("in_zero", 8, "zero point of the input", signed=True),
            Field("k", 10, "k of the mask"),
            Field("out_base", 20, "activation word of the items, or of the mask", below="act_words"),
            Field("out_row_stride", 20, "words between rows of the mask"),
            Field("out_pitch", 14, "words between channel blocks of the mask"),
        ]
    ),
    footprint=_footprint,
    cost=_cost,
    meaning=_meaning,
    operands=Operands(
        _draw,
        inputs=("in_base",),
        regions={
            "in": RegionUse({"blocks": 2, "channels": 20}, {"h": 2}),
            "out": RegionUse({"blocks": 2, "channels": 20}, {"h": 2}, on={"function": 5, "k": 2}),
        },
    ),
)
