"""ROW: an elementwise function over the pixels of matrices, with constants of each pixel and wide operands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.access import Access, Params
from vla_isa.banks import Beats
from vla_isa.cost import Cost, Timing, Touches
from vla_isa.engine_cycles import row_cost
from vla_isa.engine_words import pair_reads, pair_results
from vla_isa.fields import Field, Rule, pack_fields
from vla_isa.footprint import access, item_words, matrix_words, table_words
from vla_isa.generated import codes
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.shared_fields import header, matrix, requantize
from vla_isa.instructions.shared_meaning import (
    I64,
    element,
    item,
    param_bytes,
    param_word,
    put_element,
    put_item,
    row_record,
)
from vla_isa.integer import INT8, INT16
from vla_isa.intervals import single
from vla_isa.memories import Memories
from vla_isa.operands import (
    Arena,
    Operands,
    RegionUse,
    Rng,
    Values,
    draw_clamps,
    draw_int8,
    draw_items,
    draw_kind,
    draw_matrix,
    draw_number,
    draw_records,
    draw_row_records,
)
from vla_isa.packet import Instruction, Packet

__all__ = ["ROW", "table_bytes"]

_TABLE_BYTES = {codes.RowTable.OUT8: 256, codes.RowTable.IN16: 1024, codes.RowTable.DITHER: 512}


def table_bytes(packet: Packet) -> int:
    """Bytes of its table, 0 without one."""
    return _TABLE_BYTES.get(codes.RowTable(packet["table_mode"]), 0)


def _in_place(packet: Packet) -> tuple[str, ...]:
    """Tensors are read element by element."""
    return ("a", *(p for p in "bc" if packet[f"{p}_kind"] == codes.OperandKind.TENSOR))


def _act_bases(packet: Packet) -> tuple[str, ...]:
    operands = tuple(f"{p}_base" for p in "bc" if packet[f"{p}_kind"])
    rows = ("row_base",) if packet["row_mode"] else ()
    return ("a_base", *operands, *rows, "out_base", *(("reduce_base",) if packet["reduce"] else ()))


def _size(values: Mapping[str, int] | Packet, p: str) -> tuple[int, int, int]:
    """(rows, pixels, byte planes) of an operand."""
    planes = values["blocks"] * (1 + values[f"{p}_bytes"])
    row = p in ("b", "c") and values[f"{p}_kind"] == codes.OperandKind.ROW
    return (1, 1, planes) if row else (values["h"], values["m"], planes)


def _operands(packet: Packet) -> tuple[str, ...]:
    return ("a", *(p for p in "bc" if packet[f"{p}_kind"]))


def _footprint(packet: Packet, hw: HardwareConfig, params: Params | None) -> Iterator[Access]:
    v = packet.values
    for p in _operands(packet):
        yield access("act", False, p, matrix_words(packet, p, _size(packet, p), hw))
    if v["row_mode"]:
        yield access("act", False, "row", item_words(packet, "row_base", v["h"] * v["m"], hw))
    if v["function"] == codes.RowFunction.CHANNEL:
        yield access("param", False, "records", single(v["param_base"], v["blocks"]))
    if table_bytes(packet):
        yield table_words(packet, table_bytes(packet), hw)
    yield access("act", True, "out", matrix_words(packet, "out", _size(packet, "out"), hw, write=True))
    if v["reduce"]:
        yield access("act", True, "reduce", item_words(packet, "reduce_base", v["h"] * v["m"], hw))


def _cost(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    v = packet.values
    slots = 0  # what two lanes read for a pair: a plane of both pixels, or the planes of a row's one
    for p in _operands(packet):
        row = p != "a" and v[f"{p}_kind"] == codes.OperandKind.ROW
        slots += 1 if row else 1 + v[f"{p}_bytes"]
    items = int(v["row_mode"] != 0)  # read before the blocks of a pair
    reads, writes = items + v["blocks"] * -(-slots // 2), v["blocks"] * (1 + v["out_bytes"])
    first = items + v["out_bytes"] - max(0, reads - writes)  # of what is read before, or written behind, all others
    size = table_bytes(packet)
    table = size // 32 + 2 * -(-size // hw.param_word_bytes) - timing.row_table if size else 0
    sums = 0
    if v["reduce"]:  # items take the lanes of the words; behind the last step they have some time
        words = writes + numerics.ITEM_BYTES // hw.act_word_bytes
        sums = max(timing.reduce_items, v["h"] * -(-v["m"] // 2) * (words - max(reads, writes)))
    overhead = timing.row_overhead + table + sums + max(0, first)
    return row_cost(packet, max(reads, writes), overhead, timing, Touches(reads=partial(_reads, packet, hw, table)))


def _reads(packet: Packet, hw: HardwareConfig, table: int, done: float) -> Beats:
    row = codes.OperandKind.ROW
    planes = [(p, 1 + packet[f"{p}_bytes"], p != "a" and packet[f"{p}_kind"] == row) for p in _operands(packet)]
    items = packet["row_base"] if packet["row_mode"] else None
    beats = pair_reads(packet, planes, items, 1 + packet["out_bytes"], hw, done, waits=table)
    if done:
        return beats
    slots = sum(1 if still else size for _, size, still in planes)
    return replace(beats, results=pair_results(packet, items is not None, -(-slots // 2), hw))


def _meaning(packet: Packet, memories: Memories) -> None:
    table = param_bytes(memories, packet["table_base"], table_bytes(packet)) if table_bytes(packet) else None
    lanes = np.arange(memories.hw.block)
    for y in range(packet["h"]):
        for x in range(packet["m"]):
            pixel, total = y * packet["m"] + x, 0
            for c in range(packet["blocks"]):
                column = c * memories.hw.block + lanes
                raw = element(packet, memories, "a", y, c, x, wide=packet["a_bytes"] == 1)
                p = _function(packet, memories, _first(packet, memories, raw, table, pixel), y, c, x)
                masked = (raw == numerics.MASKED) & (packet["row_mode"] == codes.RowMode.LESS)
                q = np.where(column < packet["channels"], _finish(packet, p, masked, table, column), 0)
                put_element(packet, memories, "out", y, c, x, q, wide=packet["out_bytes"] == 1)
                total += int(q.sum())
            if packet["reduce"]:
                put_item(memories, packet["reduce_base"], pixel, numerics.pack_items(total))


def _first(packet: Packet, memories: Memories, raw: I64, table: NDArray[np.uint8] | None, pixel: int) -> I64:
    """Operand a, after its table or what the pixel's item or record does to it."""
    a = raw - packet["a_zero"]
    if packet["table_mode"] == codes.RowTable.IN16 and table is not None:
        a = numerics.interpolate(a, table.view("<i2").reshape(-1, 2))
    if packet["row_mode"] == codes.RowMode.LESS:
        value, _ = item(memories, packet["row_base"], pixel)
        a = numerics.less(a, numerics.item_index(value))
    if packet["row_mode"] == codes.RowMode.RECORD:
        bias, mult, shift = row_record(memories, packet["row_base"], pixel)
        a = numerics.normalize(a, packet["row_k"], bias, mult, shift, packet["rounding"])
    return a


def _function(packet: Packet, memories: Memories, a: I64, y: int, c: int, x: int) -> I64:
    """The scaled result, before zero point and clamp."""
    if packet["function"] == codes.RowFunction.CHANNEL:
        word = param_word(memories, packet["param_base"] + c).reshape(-1, numerics.RECORD_BYTES)
        return numerics.channel(a, *numerics.unpack_signed_records(word), packet["rounding"])
    third = _operand(packet, memories, "c", y, c, x)
    scales = {key: packet[key] for key in ("a_mult", "c_mult", "c_shift", "shift", "rounding")}
    if packet["function"] == codes.RowFunction.LINEAR:
        return numerics.linear(a, third, **scales)
    b = _operand(packet, memories, "b", y, c, x)
    if packet["function"] == codes.RowFunction.PAIRS:
        return numerics.pairs(a + packet["a_zero"], b, third, **scales)
    return numerics.product(a, b - packet["b_zero"], third, **scales)


def _operand(packet: Packet, memories: Memories, p: str, y: int, c: int, x: int) -> I64:
    """Operand b or c; 0 where there is none."""
    if packet[f"{p}_kind"] == codes.OperandKind.NONE:
        return np.zeros(memories.hw.block, np.int64)
    if packet[f"{p}_kind"] == codes.OperandKind.ROW:
        y = x = 0
    return element(packet, memories, p, y, c, x, wide=packet[f"{p}_bytes"] == 1)


def _finish(packet: Packet, p: I64, masked: NDArray[np.bool_], table: NDArray[np.uint8] | None, column: I64) -> I64:
    """Zero point, clamp and table of int8 results; int16 ones saturate. What is masked becomes the lowest value."""
    if packet["out_bytes"] == codes.Element.INT16:
        return np.where(masked, INT16.lo, numerics.saturate16(p))
    q = np.where(masked, INT8.lo, numerics.clamp(p + packet["out_zero"], packet["lo"], packet["hi"]))
    if packet["table_mode"] == codes.RowTable.OUT8 and table is not None:
        return numerics.apply_table(q, table.view(np.int8))
    if packet["table_mode"] == codes.RowTable.DITHER and table is not None:
        return numerics.dithered(q, table.view("<u2"), column)
    return q


def _draw(rng: Rng, arena: Arena, *, records: str = "usual", in_place: bool | None = None, **fixed: int) -> Values:
    """A ROW. Choices: style of the channel records, `in_place` (output = a), any field."""
    block = arena.hw.block
    v: Values = {
        "function": _draw_function(rng, fixed),
        "h": draw_number(rng, 1, 3),
        "m": draw_number(rng, 1, 7),
        "blocks": draw_number(rng, 1, 3),
        "a_zero": draw_int8(rng),
        "b_zero": draw_int8(rng),
        "row_k": draw_number(rng, 0, 100),
        "a_mult": draw_number(rng, 0, ROW.limit("a_mult")),
        "c_mult": draw_number(rng, 0, ROW.limit("c_mult")),
        "c_shift": draw_number(rng, 0, 15),
        "shift": draw_number(rng, 24, 40),
        "reduce": draw_number(rng, 0, 1),
        "c_kind": draw_kind(rng),
        **{f"{p}_bytes": draw_number(rng, 0, 1) for p in ("a", "b", "c", "out")},
        **draw_clamps(rng),
    }
    v["row_mode"] = int(rng.integers(len(codes.RowMode)))
    if v["function"] == codes.RowFunction.PAIRS:
        v |= {"a_bytes": codes.Element.INT16, "b_bytes": codes.Element.INT16, "row_mode": codes.RowMode.NONE}
    v |= _draw_functions(rng, v | fixed)
    v |= fixed
    v["channels"] = fixed.get("channels", draw_number(rng, 1, v["blocks"] * block))
    for p in ("a", *(p for p in "bc" if v[f"{p}_kind"])):
        v |= draw_matrix(rng, arena, p, _size(v, p))
    same = v["a_bytes"] == v["out_bytes"] and draw_number(rng, 0, 3) == 0
    if same if in_place is None else in_place:
        v |= {f"out_{key}": v[f"a_{key}"] for key in ("base", "row_stride", "pitch")}
    else:
        v |= draw_matrix(rng, arena, "out", _size(v, "out"))
    pixels = v["h"] * v["m"]
    words = pixels * numerics.ITEM_BYTES // block
    if v["row_mode"]:
        v["row_base"] = arena.take_act(words)
        less = v["row_mode"] == codes.RowMode.LESS
        rows = draw_items(rng, pixels, -40000, 40000) if less else draw_row_records(rng, pixels, 74 * 1000.0)
        arena.put_act(v["row_base"], rows)
    if v["reduce"]:
        v["reduce_base"] = arena.take_act(words)
    return v | _draw_params(rng, arena, v, records)


def _draw_function(rng: Rng, fixed: Values) -> int:
    """Pairs only where nothing is asked for that they may not have."""
    free = not fixed.keys() & {"a_bytes", "b_bytes", "b_kind", "row_mode", "table_mode"}
    drawn = int(rng.integers(len(codes.RowFunction) - 1 + free))
    return fixed.get("function", drawn)


def _draw_functions(rng: Rng, v: Values) -> Values:
    """Kinds and tables that go with the function and the sizes."""
    function = v["function"]
    tables = [codes.RowTable.NONE]
    if not v["out_bytes"]:
        tables += [codes.RowTable.OUT8, codes.RowTable.DITHER]
    if not v["row_mode"] and function != codes.RowFunction.PAIRS:
        tables.append(codes.RowTable.IN16)
    kind = v["c_kind"] if function != codes.RowFunction.CHANNEL else 0
    two = function in (codes.RowFunction.MUL, codes.RowFunction.PAIRS)
    b_kind = draw_number(rng, 1, 2) if two else 0
    return {"b_kind": b_kind, "c_kind": kind, "table_mode": int(tables[int(rng.integers(len(tables)))])}


def _draw_params(rng: Rng, arena: Arena, v: Values, style: str) -> Values:
    """Channel records, one in three negative, and a table."""
    out: Values = {}
    if v["function"] == codes.RowFunction.CHANNEL:
        scale = 74.0 * (200 if v["a_bytes"] or v["row_mode"] else 1)
        records = draw_records(rng, v["blocks"] * arena.hw.block, scale, style)
        records[:, 7] |= (rng.random(len(records)) < 1 / 3).astype(np.uint8) << 6
        out["param_base"] = arena.put_params(records)
    size = _TABLE_BYTES.get(codes.RowTable(v["table_mode"]), 0)
    if size:
        out["table_base"] = arena.put_params(rng.integers(0, 256, size, np.uint8))
    return out


ROW = Instruction(
    name="ROW",
    opcode=0x0B,
    queue="vec",
    summary="Elementwise over matrices [h][blocks][m][B] of int8 or int16. A = a - a_zero; with table_mode in16 A "
    "becomes v + ((d * f + 128) >> 8), where {v, d} are the two int16 of entry (A >> 8) + 128 of the table, f the low "
    "byte of A, and A is saturated to int16 first. With row_mode less A = clamp18(A - i), i the low 32 bits of the "
    "pixel's item; with record A = sat16(round_shift((A * row_k + bias) * mult, shift)) by the pixel's row record. "
    "linear: round_shift(A * a_mult + (c << c_shift) * c_mult, shift); mul: the same of A * (b - b_zero); pairs: "
    "the same of al * bl + ah * bh, the bytes of a and b as int8, without zero points; channel: "
    "round_shift((A + bias) * mult, shift) by the channel's parameter record, whose bit 62 negates mult. int16 results "
    "saturate. int8 results take zero point and clamp, then table_mode out8: byte q + 128; dither: min((u16 entry "
    "q + 128 + D) >> 8, 127), D the low byte of the channel with its bits reversed. Where row_mode is less and a is "
    "-32768, q is -128 (an int16 result -32768). Channels from `channels` on are written 0. A row operand is its pixel "
    "(0, 0) for all. Items, records and sums are in pixel order, 16 bytes each.",
    fields=pack_fields(
        [
            *header(),
            Field("function", 2, "what is computed", enum=("linear", "mul", "channel", "pairs"), code="RowFunction"),
            Field("h", 11, "rows", minimum=1),
            Field("m", 14, "pixels of a row", minimum=1),
            Field("blocks", 10, "channel blocks", minimum=1),
            Field("channels", 14, "real channels; the others are written as 0", minimum=1),
            *matrix("a", "operand a"),
            Field("a_zero", 8, "zero point of a", signed=True),
            *matrix("b", "operand b", kinds=True),
            Field("b_zero", 8, "zero point of b", signed=True),
            *matrix("c", "operand c", kinds=True),
            *matrix("out", "the output"),
            Field(
                "row_mode",
                2,
                "what happens to a first: nothing; less the pixel's item; the pixel's record",
                enum=("none", "less", "record"),
                code="RowMode",
            ),
            Field("row_base", 20, "activation word of the items or records", below="act_words"),
            Field("row_k", 14, "what a is multiplied by before the record's bias is added"),
            Field("a_mult", 24, "multiplier of a, or of a * b"),
            Field("c_mult", 24, "multiplier of c"),
            Field("c_shift", 4, "c is shifted left by this first"),
            Field("shift", 6, "shift of the scaled result"),
            Field("param_base", 16, "parameter word of the records of function channel", below="param_words"),
            *requantize(),
            Field(
                "table_mode",
                2,
                "none; int8 over results; interpolated int16 over a; dithered u16 over results",
                enum=("none", "out8", "in16", "dither"),
                code="RowTable",
            ),
            Field("table_base", 16, "parameter word where the table starts", below="param_words"),
            Field(
                "reduce", 1, "write the sum of each pixel's results as an item", enum=("none", "sum"), code="RowReduce"
            ),
            Field("reduce_base", 20, "activation word of the sums", below="act_words"),
        ]
    ),
    rules=(
        Rule("(function != 1 && function != 3) || 0 < b_kind", "a product has two operands"),
        Rule("function == 1 || function == 3 || b_kind == 0", "b is of a product"),
        Rule("function != 2 || c_kind == 0", "records of channels take no c"),
        Rule("function != 3 || (a_bytes == 1 && b_bytes == 1)", "pairs are the two bytes of int16"),
        Rule("function != 3 || (row_mode == 0 && table_mode != 2)", "pairs are taken as they are read"),
        Rule("out_bytes == 0 || table_mode == 0 || table_mode == 2", "a table over results is of int8 ones"),
        Rule("row_mode == 0 || table_mode != 2", "a table over a takes the place of the pixel's item or record"),
    ),
    footprint=_footprint,
    cost=_cost,
    meaning=_meaning,
    in_place=_in_place,
    act_bases=_act_bases,
    operands=Operands(
        _draw,
        inputs=("a_base",),
        regions={
            "a": RegionUse({"blocks": 2}, {"h": 2}),
            "b": RegionUse({"blocks": 2}, {"h": 2}, on={"function": 1, "b_kind": 1}),
            "c": RegionUse({"blocks": 2}, {"h": 2}, on={"c_kind": 1}),
            "out": RegionUse({"blocks": 2}, {"h": 2}),
        },
        often=3,
    ),
)
