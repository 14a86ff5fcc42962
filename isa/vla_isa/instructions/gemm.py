"""GEMM: a batch of matrix products of activations with weights, requantized; logits with their row maxima."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vla_isa import numerics
from vla_isa.access import Access, Params
from vla_isa.cost import Cost, Timing
from vla_isa.engine_cycles import drain_groups, mac_cost, strip_steps
from vla_isa.fields import Field, Rule, pack_fields
from vla_isa.footprint import access, item_words, matrix_words, require_fit, table_access
from vla_isa.generated import codes
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.gemm_words import banks_touched, read_waits
from vla_isa.instructions.shared_fields import header, matrix, requantize, table
from vla_isa.instructions.shared_meaning import (
    I64,
    element,
    look_up,
    put_element,
    put_item,
    records,
    requantized,
    row_record,
    weight_word,
)
from vla_isa.intervals import single
from vla_isa.memories import Memories
from vla_isa.operands import (
    Arena,
    Operands,
    RegionUse,
    Rng,
    Values,
    draw_clamps,
    draw_kind,
    draw_matrix,
    draw_number,
    draw_records,
    draw_row_records,
    draw_table,
)
from vla_isa.packet import Instruction, Packet

__all__ = ["GEMM"]

Record = tuple[I64, I64, I64]


def _in_place(packet: Packet) -> tuple[str, ...]:
    """The result may take a residual tensor's place."""
    return ("res",) if packet["res_kind"] == codes.OperandKind.TENSOR else ()


def _act_bases(packet: Packet) -> tuple[str, ...]:
    rows = ("row_base",) if packet["row_max"] or packet["scale_by"] == codes.ScaleBy.ROW else ()
    return ("in_base", "out_base", *rows, *(("res_base",) if packet["res_kind"] else ()))


def _footprint(packet: Packet, hw: HardwareConfig, params: Params | None) -> Iterator[Access]:
    v = packet.values
    batch, h, m, blocks = v["batch"], v["h"], v["m"], v["n_blocks"]
    yield access("act", False, "in", matrix_words(packet, "in", (h, m, v["k_blocks"]), hw, batch=batch))
    count = blocks * v["k_blocks"]
    starts = v["weight_base"] + np.arange(batch if v["weight_batch_stride"] else 1) * v["weight_batch_stride"]
    require_fit(packet, "weight", len(starts) * count, hw.weight_words, "weight scratchpad")
    yield access("weight", False, "weight", np.stack([starts, starts + count], axis=1))
    if v["scale_by"] == codes.ScaleBy.ROW:
        yield access("act", False, "row", item_words(packet, "row_base", h * m, hw, batch=batch))
    else:
        yield access("param", False, "records", single(v["param_base"], 1 if v["scale_by"] else blocks))
    yield from table_access(packet, hw)
    if v["res_kind"] == codes.OperandKind.TENSOR:
        yield access("act", False, "res", matrix_words(packet, "res", (h, m, 2 * blocks), hw, batch=batch))
    elif v["res_kind"]:
        yield access("act", False, "res", matrix_words(packet, "res", (1, 1, 2 * blocks), hw, batch=batch))
    planes = blocks * (1 + v["out_bytes"])
    yield access("act", True, "out", matrix_words(packet, "out", (h, m, planes), hw, batch=batch, write=True))
    if v["row_max"]:
        yield access("act", True, "row", item_words(packet, "row_base", h * m, hw, batch=batch))


def _cost(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    v = packet.values
    one = (1, 1)
    size = (v["h"], v["m"])
    strips = strip_steps(hw.pixels, size, size, one, one, one, (0, 0), (v["h"], 0, v["in_row_stride"]))
    outs = np.full(v["batch"] * v["n_blocks"], v["k_blocks"])
    groups = drain_groups(v["h"] * v["m"], hw)
    drains = np.tile(groups * (1 + v["out_bytes"]), (len(outs), 1))
    behind = timing.mac_wide * v["out_bytes"]
    if v["row_max"]:  # in the last block of a batch they are written behind the words of each group of pixels
        drains[v["n_blocks"] - 1 :: v["n_blocks"]] += groups * (numerics.ITEM_BYTES // hw.act_word_bytes)
        behind = hw.block.bit_length() - 1  # levels of the tree
    return mac_cost(
        strips,
        outs,
        drains,
        hw,
        timing,
        table=v["table_enable"] == 1,
        waits=read_waits(packet, hw),
        behind=behind,
        touches=banks_touched(packet, hw, timing),
    )


def _meaning(packet: Packet, memories: Memories) -> None:
    """Results block after block; the maxima behind them."""
    best: dict[tuple[int, int], int] = {}
    for b in range(packet["batch"]):
        for n in range(packet["n_blocks"]):
            for y in range(packet["h"]):
                for x in range(packet["m"]):
                    q = _result(packet, memories, b, n, y, x)
                    put_element(packet, memories, "out", y, n, x, q, batch=b, wide=packet["out_bytes"] == 1)
                    pixel = (b, y * packet["m"] + x)
                    best[pixel] = max(best.get(pixel, numerics.MASKED), int(q.max()))
    if packet["row_max"]:
        for (b, i), value in best.items():
            put_item(memories, packet["row_base"] + b * packet["row_batch_stride"], i, numerics.pack_items(value))


def _result(packet: Packet, memories: Memories, b: int, n: int, y: int, x: int) -> I64:
    """The B values of block n of pixel (y, x) of batch b."""
    acc = np.zeros(memories.hw.block, np.int64)
    first = packet["weight_base"] + b * packet["weight_batch_stride"] + n * packet["k_blocks"]
    for k in range(packet["k_blocks"]):
        acc = acc + weight_word(memories, first + k) @ element(packet, memories, "in", y, k, x, batch=b)
    record = _record(packet, memories, b, n, y, x)
    if packet["out_bytes"] == codes.Element.INT8:
        return look_up(packet, memories, requantized(packet, acc, record))
    acc, rounding = numerics.wrap32(acc), packet["rounding"]
    if not packet["row_max"] and not packet["res_kind"]:
        return numerics.requantize16(acc, *record, rounding)
    res = _residual(packet, memories, b, n, y, x)
    if not packet["row_max"]:
        return numerics.residual16(acc, *record, rounding, res)
    column = n * memories.hw.block + np.arange(memories.hw.block)
    valid = column < packet["limit"] + packet["limit_step"] * x
    return numerics.masked_logits(acc, *record, rounding, res, valid)


def _record(packet: Packet, memories: Memories, b: int, n: int, y: int, x: int) -> Record:
    """Of each column, or of all; a row record's bias is left out."""
    if packet["scale_by"] == codes.ScaleBy.ROW:
        base = packet["row_base"] + b * packet["row_batch_stride"]
        _, *scale = row_record(memories, base, y * packet["m"] + x)
        return np.zeros(1, np.int64), np.array(scale[:1]), np.array(scale[1:])
    if packet["scale_by"] == codes.ScaleBy.TENSOR:
        bias, mult, shift = records(memories, packet["param_base"])
        return bias[:1], mult[:1], shift[:1]
    return records(memories, packet["param_base"] + n)


def _residual(packet: Packet, memories: Memories, b: int, n: int, y: int, x: int) -> I64:
    if packet["res_kind"] == codes.OperandKind.NONE:
        return np.zeros(memories.hw.block, np.int64)
    if packet["res_kind"] == codes.OperandKind.ROW:
        y = x = 0
    return element(packet, memories, "res", y, n, x, batch=b, wide=True)


def _draw(rng: Rng, arena: Arena, *, records: str = "usual", in_place: bool | None = None, **fixed: int) -> Values:
    """A GEMM. Choices: record style, `in_place` (output = residual), any field."""
    hw = arena.hw
    v: Values = {
        "batch": draw_number(rng, 1, 3),
        "h": draw_number(rng, 1, 3),
        "m": draw_number(rng, 1, 11),
        "k_blocks": draw_number(rng, 1, 4),
        "n_blocks": draw_number(rng, 1, 4),
        "out_bytes": 0 if fixed.get("table_enable") else draw_number(rng, 0, 1),
        "limit": draw_number(rng, 0, 5 * hw.block),
        "limit_step": draw_number(rng, 0, 1),
        **draw_clamps(rng),
    }
    wide = fixed.get("out_bytes", v["out_bytes"])
    v["row_max"] = wide and draw_number(rng, 0, 2) == 0
    alone = fixed.get("row_max", v["row_max"]) or fixed.get("res_kind")
    v["scale_by"] = 1 if fixed.get("row_max", v["row_max"]) else draw_number(rng, 0, 1 if alone else 2)
    v["table_enable"] = not wide and draw_number(rng, 0, 3) == 0
    if wide and fixed.get("scale_by", v["scale_by"]) != codes.ScaleBy.ROW:
        v["res_kind"] = draw_kind(rng)
    v |= fixed
    size = (v["h"], v["m"], v["k_blocks"])
    v |= draw_matrix(rng, arena, "in", size, batch=v["batch"])
    out = (v["h"], v["m"], v["n_blocks"] * (1 + v["out_bytes"]))
    if v.get("res_kind"):
        tensor = v["res_kind"] == codes.OperandKind.TENSOR
        v |= draw_matrix(rng, arena, "res", out if tensor else (1, 1, out[2]), batch=v["batch"])
    v |= _draw_rows(rng, arena, v)
    same = v.get("res_kind") == codes.OperandKind.TENSOR and draw_number(rng, 0, 2) == 0
    if same if in_place is None else in_place:
        v |= {f"out_{k}": v[f"res_{k}"] for k in ("base", "row_stride", "pitch", "batch_stride")}
    else:
        v |= draw_matrix(rng, arena, "out", out, batch=v["batch"])
    count = v["n_blocks"] * v["k_blocks"]
    v["weight_batch_stride"] = int(rng.choice([0, count, count + 1]))
    v["weight_base"] = arena.take_weight((v["batch"] - 1) * v["weight_batch_stride"] + count)
    magnitude = 74 * 74 * (v["k_blocks"] * hw.block) ** 0.5 / (200 if v["out_bytes"] else 1)
    v["param_base"] = arena.put_params(draw_records(rng, v["n_blocks"] * hw.block, magnitude, records))
    if v["table_enable"]:
        v["table_base"] = arena.put_params(draw_table(rng))
    return v


def _draw_rows(rng: Rng, arena: Arena, v: Values) -> Values:
    """A place for row records, filled, or for maxima."""
    if not v["row_max"] and v["scale_by"] != codes.ScaleBy.ROW:
        return {}
    pixels = v["h"] * v["m"]
    stride = pixels * numerics.ITEM_BYTES // arena.hw.act_word_bytes + draw_number(rng, 0, 2)
    base = arena.take_act(v["batch"] * stride)
    if v["scale_by"] == codes.ScaleBy.ROW:
        magnitude = 74 * 74 * (v["k_blocks"] * arena.hw.block) ** 0.5 / (200 if v["out_bytes"] else 1)
        for b in range(v["batch"]):
            arena.put_act(base + b * stride, draw_row_records(rng, pixels, magnitude))
    return {"row_base": base, "row_batch_stride": stride}


GEMM = Instruction(
    name="GEMM",
    opcode=0x02,
    queue="mac",
    summary="For each batch: activations [h][K/B][m][B] times weights [N/B][K/B][B x B] from the weight scratchpad, "
    "requantized, to [h][N/B][m][B]. int8 results take zero point, clamp and table. int16 results saturate; with a "
    "residual they are sat16(clamp18(q) + residual), where clamp18 is to 18 bits. With row_max, column j of pixel x "
    "of a row becomes -32768 where j >= limit + limit_step * x or the residual is -32768, the others are at least "
    "-32767, and the maximum of each pixel over all columns is written as an item. Row records and maxima of a batch "
    "are in pixel order, 16 bytes each; the bias of a row record counts as 0. The sums wrap at 32 bits.",
    fields=pack_fields(
        [
            *header(),
            Field("batch", 10, "how many products", minimum=1),
            Field("h", 11, "rows of a batch, which share its weights", minimum=1),
            Field("m", 14, "pixels of a row", minimum=1),
            Field("k_blocks", 12, "channel blocks of the shared dimension", minimum=1),
            Field("n_blocks", 12, "channel blocks of the output", minimum=1),
            *matrix("in", "the input", batch=True, wide=False),
            *matrix("out", "the output", batch=True),
            Field("weight_base", 16, "weight word of the first weight block", below="weight_words"),
            Field("weight_batch_stride", 16, "weight words between batches"),
            Field("param_base", 16, "parameter word of the records", below="param_words"),
            Field(
                "scale_by",
                2,
                "parameter records per output column; one (the first) for all; a row record per pixel",
                enum=("column", "tensor", "row"),
                code="ScaleBy",
            ),
            *requantize(),
            *table(),
            Field("row_base", 20, "activation word of the row records read, or maxima written", below="act_words"),
            Field("row_batch_stride", 20, "words between batches of the row records or maxima"),
            *matrix("res", "the int16 residual", kinds=True, batch=True, wide=False),
            Field("row_max", 1, "mask columns by the limit and write the maximum of each pixel"),
            Field("limit", 14, "columns of pixel 0 of a row that are not masked"),
            Field("limit_step", 1, "one more column from pixel to pixel"),
        ]
    ),
    rules=(
        Rule("row_max == 0 || (out_bytes == 1 && scale_by == 1)", "row maxima are of int16 results with one record"),
        Rule("row_max == 0 || h * m <= 1024", "row maxima are of at most 1024 pixels a batch"),
        Rule("res_kind == 0 || (out_bytes == 1 && scale_by < 2)", "a residual is of int16 results without row records"),
        Rule("table_enable == 0 || out_bytes == 0", "a table is of int8 results"),
    ),
    footprint=_footprint,
    cost=_cost,
    meaning=_meaning,
    in_place=_in_place,
    act_bases=_act_bases,
    operands=Operands(
        _draw,
        inputs=("in_base",),
        regions={
            "in": RegionUse({"k_blocks": 2}, {"h": 2}),
            "out": RegionUse({"n_blocks": 2}, {"h": 2}),
            "res": RegionUse({}, {"h": 2}, on={"res_kind": 1, "out_bytes": 1, "res_pitch": 0}),
        },
        often=3,
    ),
)
