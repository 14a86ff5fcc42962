"""T1, continued: sizes and constants of ROW, REDUCE, RECIP, GATHER and of GEMM's rows, at the ends of their fields.

Not here: regions and clamps, which `limit_cases.py` makes for every instruction.
"""

from __future__ import annotations

from collections.abc import Iterator

from vla_isa.generated.codes import (
    GatherIndex,
    GatherMove,
    OperandKind,
    ReduceFunction,
    RowFunction,
    RowMode,
    RowTable,
    ScaleBy,
)
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.gather import GATHER
from vla_isa.instructions.gemm import GEMM
from vla_isa.instructions.recip import RECIP
from vla_isa.instructions.reduce import REDUCE
from vla_isa.instructions.row import ROW
from vla_isa.instructions.row import table_bytes as bytes_of_table
from vla_isa.numerics import ITEM_BYTES
from vla_isa.operands import Values

__all__ = ["gather_sizes", "gemm_row_sizes", "recip_sizes", "reduce_sizes", "row_sizes"]

MASK: Values = {"function": ReduceFunction.TOPK_MASK, "k": 3}


def _item_bases(hw: HardwareConfig) -> tuple[int, ...]:
    """Places of one item: the ends of the scratchpad, and with the high bit set."""
    return (0, 1, 3 * hw.act_words // 4, hw.act_words - ITEM_BYTES // hw.act_word_bytes)


def _ends(top: int) -> tuple[int, ...]:
    """Values of a field from 0 to `top`: low ones, one with the highest bit set, the highest."""
    return (0, 1, 5, top - top // 4, top)


def _params(hw: HardwareConfig, words: int) -> tuple[int, ...]:
    return (0, 1, 3 * hw.param_words // 4, hw.param_words - words)


def row_sizes(hw: HardwareConfig) -> Iterator[Values]:
    """Sizes in place, constants, records and tables."""
    same = {"a_base": 0, "out_base": 0}
    for h in (1500, ROW.limit("h")):
        yield {"h": h, **same, "a_row_stride": 1, "out_row_stride": 1}
    for m in (min(9000, hw.act_words // 2), min(ROW.limit("m"), hw.act_words - 1)):
        yield {"m": m, **same}
    for blocks in (600, ROW.limit("blocks")):
        yield {"blocks": blocks, **same, "channels": 4 * blocks}
    for channels in (2, 5, 9000, ROW.limit("channels")):
        yield {"channels": channels}
    for base in _item_bases(hw):
        yield {"row_mode": RowMode.LESS, "row_base": base, "a_bytes": 1}
        yield {"reduce": 1, "reduce_base": base}
    for k in _ends(ROW.limit("row_k")):
        yield {"row_mode": RowMode.RECORD, "row_base": 0, "row_k": k}
    product = {"function": RowFunction.MUL, "b_kind": OperandKind.TENSOR, "c_kind": OperandKind.TENSOR}
    for mult in _ends(ROW.limit("a_mult")):
        yield {"a_mult": mult, "shift": 24}
        yield {**product, "c_mult": mult, "a_mult": 3, "shift": 24}
    for places in (0, 1, 5, 9, 15):
        yield {**product, "c_shift": places, "c_mult": 1 << 20, "shift": 30, "c_bytes": 1}
    for shift in (0, 1, 5, 40, 63):
        yield {"shift": shift, "a_mult": ROW.limit("a_mult")}
    for param in _params(hw, 1):
        yield {"function": RowFunction.CHANNEL, "param_base": param}
    for table in RowTable:
        size = bytes_of_table(ROW.packet(table_mode=table)) // hw.param_word_bytes
        for base in _params(hw, size) if table else ():
            yield {"table_mode": table, "table_base": base, "a_mult": 1}


def reduce_sizes(hw: HardwareConfig) -> Iterator[Values]:
    """Sizes, the mask's k and steps, items at the ends of the scratchpad."""
    items = hw.act_words // 2
    for h in (1500, REDUCE.limit("h")):
        yield {"h": h, "in_base": 0, "in_row_stride": 1, "out_base": items}
    for m in (3000, min(REDUCE.limit("m"), hw.act_words // 2 * hw.act_word_bytes // ITEM_BYTES)):
        yield {"m": m, "in_base": 0, "out_base": items}
    for m in (9000, REDUCE.limit("m")):
        yield {"m": min(m, items), "in_base": 0, "out_base": items, **MASK}
    for blocks in (600, REDUCE.limit("blocks")):
        yield {"blocks": blocks, "in_base": 0, "channels": 4 * blocks, "out_base": items}
    for channels in (2, 5, 9000, REDUCE.limit("channels")):
        yield {"channels": channels, "function": ReduceFunction.MOMENTS}
    for k in _ends(REDUCE.limit("k")):
        yield {"blocks": 2, "channels": 2 * hw.block, **MASK, "k": k}
    for base in _item_bases(hw):
        yield {"out_base": base}
    for zero in (-128, -5, 0, 5, 127):
        yield {"in_zero": zero, "channels": hw.block}


def recip_sizes(hw: HardwareConfig) -> Iterator[Values]:
    """Items, bases, K and epsilon."""
    most = min(RECIP.limit("n"), hw.act_words * hw.act_word_bytes // ITEM_BYTES)
    for n in (2, most - most // 4, most):
        yield {"n": n, "in_base": 0, "out_base": 0}
    for base in _item_bases(hw):
        yield {"in_base": base}
        yield {"out_base": base}
    for mult in ((1 << 23) + 1, 3 << 22, RECIP.limit("mult")):
        yield {"mult": mult, "n": 5}
    for shift in (1, 5, 40, 63):
        yield {"shift": shift, "n": 5}
    for add in _ends(RECIP.limit("add")):
        yield {"add": add, "n": 5}


def gather_sizes(hw: HardwareConfig) -> Iterator[Values]:
    """Tables of one place (step 0) and of far ones, long rows, many rows, high numbers; the index of register 0."""
    last, high = hw.act_words - 1, 3 * hw.act_words // 4
    one = {"index_kind": GatherIndex.RANGE, "table_rows": 1}
    for move in (GatherMove.GATHER_ACT, GatherMove.SCATTER_ACT):
        for base in (0, 1, high, last):
            yield {**one, "move": move, "table_base": base}
            yield {**one, "move": move, "act_base": base}
    for step in (0, 1, 5, high, last):
        yield {**one, "table_rows": 2, "n": 2, "table_base": 0, "table_stride": step, "act_pitch": 2}
    for rows in (2, 9, 3 << 18, GATHER.limit("table_rows")):
        yield {**one, "table_rows": rows, "first": rows - 1, "table_stride": 0}
    for first in (0, 1, 7):
        yield {**one, "table_rows": 9, "first": first, "table_stride": 1, "table_base": 0}
    for n in (3, 9000, GATHER.limit("n")):
        many = {"table_rows": n, "n": min(n, last), "table_stride": 0, "table_base": last, "act_base": 0}
        yield {**one, **many}
    for words in (2, 3, 3000, GATHER.limit("words")):
        yield {**one, "words": words, "table_base": 0, "act_base": hw.act_words // 2, "act_pitch": 1}
    for pitch in (0, 1, 9, 3 << 12, min(GATHER.limit("act_pitch"), last)):
        yield {**one, "words": 1 + (pitch > 0), "table_base": last // 2, "act_base": 0, "act_pitch": pitch}
    for base in _item_bases(hw):
        yield {"index_kind": GatherIndex.ITEMS, "index_base": base, "table_rows": 1}
    for register in range(4):
        for count, step in ((1, 0), (2, 1), (9, 77), (3 << 14, 3 << 30), ((1 << 16) - 1, (1 << 32) - 1)):
            index = {"index_enable": 1, "index_register": register, "index_count": count, "index_stride": step}
            yield {**one, **index}


def gemm_row_sizes(hw: HardwareConfig) -> Iterator[Values]:
    """Rows, limits, and places of row records, maxima and residuals."""
    logits = {"out_bytes": 1, "row_max": 1, "scale_by": ScaleBy.TENSOR}
    for h in (1500, GEMM.limit("h")):
        yield {"h": h, "in_base": 0, "in_row_stride": 1, "out_base": 2048, "out_row_stride": 1}
    for limit in (0, 1, 5, 9000, GEMM.limit("limit")):
        for step in (0, 1):
            yield {**logits, "limit": limit, "limit_step": step, "row_base": 0, "out_pitch": 1}
    for base in _item_bases(hw):
        yield {**logits, "limit": 9, "row_base": base}
        yield {"scale_by": ScaleBy.ROW, "row_base": base}
    tensor = {"res_kind": OperandKind.TENSOR, "out_bytes": 1, "res_pitch": 0}
    for step in (0, 1, 5, 3 * hw.act_words // 4, hw.act_words - 1):
        yield {**tensor, "batch": 2, "out_batch_stride": 2, "res_base": 0, "res_batch_stride": step}
    item = ITEM_BYTES // hw.act_word_bytes
    for step in (0, 1, 5, 3 * hw.act_words // 4, hw.act_words - item):
        two = {"batch": 2, "out_batch_stride": 2, "row_base": 0, "row_batch_stride": step}
        yield {"scale_by": ScaleBy.ROW, **two}
    for kind in OperandKind:
        yield {"out_bytes": 1, "res_kind": kind, "h": 2, "in_row_stride": 1, "out_row_stride": 2, "res_row_stride": 2}
