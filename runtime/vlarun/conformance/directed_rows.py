"""T1, continued: ROW, REDUCE, RECIP, GATHER, and what GEMM and COPY do for attention, one thing at a time.

Not here: fields at the ends of what they hold (limit_rows.py), loops and index registers (loop_cases.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from vla_isa.generated.codes import (
    Element,
    GatherIndex,
    GatherMove,
    Move,
    OperandKind,
    RecipBias,
    RecipFunction,
    ReduceFunction,
    Rounding,
    RowFunction,
    RowMode,
    RowTable,
    ScaleBy,
)
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.row import ROW
from vla_isa.integer import INT8

__all__ = ["gather", "recip", "reduce", "row", "squares", "wide_gemm"]

Choices = dict[str, Any]
FULL: Choices = {"lo": INT8.lo, "hi": INT8.hi}
PLAIN: Choices = {"row_mode": RowMode.NONE, "table_mode": RowTable.NONE, "reduce": 0}
_FUNCTIONS = [f for f in RowFunction if f != RowFunction.PAIRS]  # of which all is said the same way
LOGITS: Choices = {"out_bytes": Element.INT16, "row_max": 1, "scale_by": ScaleBy.TENSOR}


def row(hw: HardwareConfig) -> Iterator[tuple[str, Choices]]:
    """Functions by element types and kinds, modes, tables, sums, channels, extremes."""
    yield from _pairs()
    for function in _FUNCTIONS:
        name = function.name.lower()
        for a, out in product(Element, Element):
            yield (
                f"{name}.{a.name.lower()}.{out.name.lower()}",
                PLAIN
                | {
                    "function": function,
                    "a_bytes": a,
                    "out_bytes": out,
                },
            )
        for rounding in Rounding:
            values = {"function": function, "rounding": rounding, "a_bytes": 1, "shift": 30, "blocks": 3, **FULL}
            yield f"{name}.rounding.{rounding.name.lower()}", PLAIN | values
        for mode in RowMode:
            yield f"{name}.{mode.name.lower()}", PLAIN | {"function": function, "row_mode": mode, "a_bytes": 1, **FULL}
    for operand in ("b", "c"):
        for kind, size in product((OperandKind.TENSOR, OperandKind.ROW), Element):
            values = {"function": RowFunction.MUL, f"{operand}_kind": kind, f"{operand}_bytes": size, "h": 3, "m": 5}
            yield f"{operand}.{kind.name.lower()}.{size.name.lower()}", PLAIN | values
    yield "mul.without.c", PLAIN | {"function": RowFunction.MUL, "c_kind": 0}
    yield from _row_tables(hw)
    for act in ("low", "high", "edges"):
        most = {"a_mult": ROW.limit("a_mult"), "c_mult": ROW.limit("c_mult"), "c_shift": 15, "a_bytes": 1}
        wide = {"b_bytes": 1, "c_bytes": 1, "c_kind": OperandKind.TENSOR, "b_kind": OperandKind.TENSOR, "act": act}
        yield f"extreme.{act}", PLAIN | {"function": RowFunction.MUL, "shift": 57, **most, **wide, **FULL}
        yield f"channel.extreme.{act}", PLAIN | {"function": RowFunction.CHANNEL, "records": "extreme", "act": act}
    for channels in (1, hw.block - 1, hw.block, hw.block + 1, 3 * hw.block):
        yield f"channels.{channels}", PLAIN | {"blocks": 3, "channels": channels, "reduce": 1}
    for m in (1, 2, 3, 7, 8):
        yield f"pixels.{m}", PLAIN | {"m": m, "h": 3, "reduce": 1, "row_mode": RowMode.RECORD}
    yield "in.place", {"in_place": True, "a_bytes": 0, "out_bytes": 0}
    yield "in.place.int16", PLAIN | {"in_place": True, "a_bytes": 1, "out_bytes": 1}


def _pairs() -> Iterator[tuple[str, Choices]]:
    """Products of bytes: results, rounding, kinds, what is added, tables over results, extremes; zero points or not."""
    pairs = PLAIN | {"function": RowFunction.PAIRS, "a_bytes": Element.INT16, "b_bytes": Element.INT16}
    for out, kind, c in product(Element, (OperandKind.TENSOR, OperandKind.ROW), OperandKind):
        name = f"pairs.{out.name.lower()}.{kind.name.lower()}.{c.name.lower()}"
        yield name, pairs | {"out_bytes": out, "b_kind": kind, "c_kind": c, "h": 3, "m": 5, "blocks": 3}
    for rounding in Rounding:
        yield f"pairs.rounding.{rounding.name.lower()}", pairs | {"rounding": rounding, "shift": 30, **FULL}
    for table in (RowTable.OUT8, RowTable.DITHER):
        yield f"pairs.{table.name.lower()}", pairs | {"table_mode": table, "out_bytes": Element.INT8, "reduce": 1}
    for act in ("low", "high", "edges"):
        exact = {"a_mult": 1, "shift": 0, "c_kind": 0, "out_bytes": Element.INT16}
        yield f"pairs.extreme.{act}", pairs | exact | {"act": act}
    yield "pairs.zeros", pairs | {"a_zero": 127, "b_zero": -128, "out_bytes": Element.INT16}


def _row_tables(hw: HardwareConfig) -> Iterator[tuple[str, Choices]]:
    exponents = {"function": RowFunction.LINEAR, "row_mode": RowMode.LESS, "a_bytes": 1, "c_kind": 0, "out_bytes": 0}
    scale = {"a_mult": 1 << 23, "shift": 30, "out_zero": INT8.hi, **FULL}
    for table in (RowTable.NONE, RowTable.OUT8, RowTable.DITHER):
        name = table.name.lower()
        for act in ("random", "edges", "low"):
            more = {"table_mode": table, "reduce": 1, "blocks": 3, "act": act}
            yield f"less.{name}.{act}", exponents | scale | more
    for function, out in product(_FUNCTIONS, Element):
        values = {"function": function, "a_bytes": 1, "out_bytes": out, "table_mode": RowTable.IN16, "row_mode": 0}
        yield f"in16.{function.name.lower()}.{out.name.lower()}", values
    for act in ("low", "high", "edges"):
        yield f"in16.{act}", {"a_bytes": 1, "table_mode": RowTable.IN16, "row_mode": 0, "act": act, "a_zero": 127}
    yield "in16.int8", {"a_bytes": 0, "table_mode": RowTable.IN16, "row_mode": 0}
    for out in Element:
        masked = {"row_mode": RowMode.LESS, "a_bytes": 1, "out_bytes": out, "act": "masked", "table_mode": 0}
        yield f"masked.{out.name.lower()}", masked
    yield "less.int8", {"row_mode": RowMode.LESS, "a_bytes": 0, "act": "low", "table_mode": 0}


def reduce(hw: HardwareConfig) -> Iterator[tuple[str, Choices]]:
    """Functions by element types, channels, extremes, equal values."""
    for function, size in product(ReduceFunction, Element):
        name = f"{function.name.lower()}.{size.name.lower()}"
        one = {"function": function, "in_bytes": size}
        yield name, one
        for act in ("low", "high", "edges"):
            yield f"{name}.{act}", one | {"act": act, "blocks": 3}
        for channels in (1, hw.block, hw.block + 1, 3 * hw.block):
            yield f"{name}.channels.{channels}", one | {"blocks": 3, "channels": channels}
    for k in (0, 1, 5, 1023):
        yield f"topk_mask.k.{k}", {"function": ReduceFunction.TOPK_MASK, "k": k, "blocks": 2}
    for m in (1, 2, 3, 7, 8):
        yield f"pixels.{m}", {"m": m, "h": 3}


def recip(hw: HardwareConfig) -> Iterator[tuple[str, Choices]]:
    """Functions, scales at their ends, epsilon, bias, in place."""
    for function in RecipFunction:
        name = function.name.lower()
        for n in (1, 2, 3, 64):
            yield f"{name}.items.{n}", {"function": function, "n": n, "add": 0}
        for shift in (0, 23, 40, 63):
            yield f"{name}.shift.{shift}", {"function": function, "shift": shift, "n": 40}
        for mult in (1 << 23, (1 << 24) - 1):
            yield f"{name}.mult.{mult}", {"function": function, "mult": mult, "n": 40}
        for add in (0, 1, (1 << 56) - 1):
            yield f"{name}.add.{add}", {"function": function, "add": add, "n": 40}
        yield f"{name}.zero", {"function": function, "add": 0, "values": "zero"}
        yield f"{name}.negative", {"function": function, "add": 0, "values": "negative"}
        yield f"{name}.edges", {"function": function, "n": 64, "add": 0, "shift": 10, "values": "edges"}
    for bias in RecipBias:
        yield f"bias.{bias.name.lower()}", {"bias": bias, "n": 20}
    yield "in.place", {"in_place": True, "n": 30}


def gather(hw: HardwareConfig) -> Iterator[tuple[str, Choices]]:
    """Moves on chip by items and ranges, rows of one and of many words."""
    for move, kind in product((GatherMove.GATHER_ACT, GatherMove.SCATTER_ACT), GatherIndex):
        name = f"{move.name.lower()}.{kind.name.lower()}"
        for n in (1, 2, 9):
            yield f"{name}.rows.{n}", {"move": move, "index_kind": kind, "n": n, "table_rows": 12}
        for words in (1, 3, 17):
            yield f"{name}.words.{words}", {"move": move, "index_kind": kind, "words": words}
        yield f"{name}.one.row", {"move": move, "index_kind": kind, "table_rows": 1, "n": 1}
    yield "the.same.row", {"index_kind": GatherIndex.ITEMS, "table_rows": 1, "n": 7}


def wide_gemm(hw: HardwareConfig) -> Iterator[tuple[str, Choices]]:
    """int16 results, residuals, row records, row maxima and limits, rows."""
    for h in (1, 2, 3, 5):
        yield f"rows.{h}", {"h": h, "m": 5}
    for rounding in Rounding:
        name = rounding.name.lower()
        yield f"int16.rounding.{name}", {"out_bytes": 1, "row_max": 0, "res_kind": 0, "rounding": rounding}
        yield f"residual.rounding.{name}", {"out_bytes": 1, "row_max": 0, "res_kind": 1, "rounding": rounding}
    for kind, scale in product(OperandKind, (ScaleBy.COLUMN, ScaleBy.TENSOR)):
        name = f"residual.{kind.name.lower()}.{scale.name.lower()}"
        yield name, {"out_bytes": 1, "row_max": 0, "res_kind": kind, "scale_by": scale}
        yield f"{name}.extreme", {"out_bytes": 1, "row_max": 0, "res_kind": kind, "records": "extreme", "act": "edges"}
        yield f"logits.{name}", LOGITS | {"res_kind": kind, "act": "edges", "n_blocks": 3}
    yield "residual.in.place", {"out_bytes": 1, "row_max": 0, "scale_by": 0, "res_kind": 1, "in_place": True}
    for size in Element:
        yield f"row.records.{size.name.lower()}", {"scale_by": ScaleBy.ROW, "row_max": 0, "out_bytes": size, "h": 2}
    for limit in (0, 1, hw.block - 1, hw.block, hw.block + 1, 3 * hw.block, 16383):
        for step in (0, 1):
            values = {"limit": limit, "limit_step": step, "n_blocks": 3, "h": 2, "m": 9}
            yield f"limit.{limit}.{step}", LOGITS | {"res_kind": 0, **values}
    yield "maxima.of.many", LOGITS | {"h": 32, "m": 32, "k_blocks": 1, "n_blocks": 1, "batch": 1, "res_kind": 0}
    yield "accumulator.int16", {"out_bytes": 1, "row_max": 0, "act": "low", "weight": "low", "k_blocks": 60, "batch": 1}


def squares(hw: HardwareConfig) -> Iterator[tuple[str, Choices]]:
    """COPY of squares of B words: to weights, and transposed."""
    for what, one in (
        ("act_to_weight", {"move": Move.ACT_TO_WEIGHT}),
        ("transpose", {"move": Move.ACT_TO_ACT, "unit": 1}),
    ):
        for n0 in (1, 2, 5):
            yield f"{what}.run.{n0}", {**one, "n0": n0, "n1": 1, "n2": 2}
        yield f"{what}.four.dimensions", {**one, "n0": 2, "n1": 3, "n2": 2, "n3": 2}
        yield f"{what}.ring", {**one, "in_ring": True, "n2": 4}
        for count in ("n0", "n1", "n2", "n3"):
            yield f"{what}.zero.{count}", {**one, count: 0}
