"""T1, continued: fields at the ends of what they can hold, and with their high bits set, in packets that run.

One case per tensor region or group of fields. Before each packet the words that it reads are loaded (what
they are says `vla_isa.footprint`), after it the words that it wrote are stored, so every packet is compared.
Not here: COPY, semaphores and control (limit_moves.py); packets that dispatch refuses (encoding_cases.py).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from vla_isa.encoding import encode, illegal, make_packet
from vla_isa.errors import VlaError
from vla_isa.footprint import footprint
from vla_isa.generated.codes import (
    TABLE_BYTES,
    BKind,
    GatherMove,
    MaskMode,
    Move,
    OperandKind,
    PoolMode,
    Rounding,
    RowFunction,
    ScaleBy,
)
from vla_isa.hardware import HardwareConfig
from vla_isa.hazards import same_region
from vla_isa.instructions import BY_NAME, TABLE, ErrorCode
from vla_isa.instructions.conv import CONV
from vla_isa.instructions.gemm import GEMM
from vla_isa.instructions.pool import POOL
from vla_isa.instructions.vec import VEC
from vla_isa.integer import INT8
from vla_isa.operands import RegionUse, Rng, Values, draw_records, fill
from vla_isa.packet import Instruction, Packet
from vlarun.conformance import limit_rows
from vlarun.conformance.programs import Builder, Case

__all__ = ["SIZES", "cases", "fitting", "run_each"]

MANY = 8  # what is read in more pieces is loaded in one, with the words between them


def cases(hw: HardwareConfig) -> Iterator[Case]:
    """All cases of a config; the same ids on every one."""
    groups = {
        f"{ins.name.lower()}.{region}": _region(hw, ins, region, use)
        for ins in TABLE
        if ins.operands is not None
        for region, use in ins.operands.regions.items()
    }
    groups |= {f"{ins.name.lower()}.requantize": _requantize(ins.name) for ins in TABLE if "rounding" in ins.by_name}
    groups |= {f"{name.lower()}.sizes": sizes(hw) for name, sizes in SIZES.items()}
    groups |= {f"{name.lower()}.memories": _memories(hw, name) for name in ("CONV", "GEMM")}
    groups["gemm.rows"] = limit_rows.gemm_row_sizes(hw)
    for what, changes in groups.items():
        yield run_each(hw, f"T1.limit.{what}", fitting(hw, what.split(".")[0].upper(), changes))


def fitting(hw: HardwareConfig, name: str, changes: Iterable[Values]) -> list[Packet]:
    """The small packets with these changes that fit the memories of the config (all do on the shipped ones)."""
    packets = []
    for change in changes:
        try:
            packet = small_packet(hw, name, change)
            fits = illegal(encode(packet), hw)[0] is ErrorCode.OK and _inside(packet, hw)
            fits &= _apart(packet, hw)
        except VlaError:  # a region longer than the scratchpad, or a field below 0
            fits = False
        if fits:
            packets.append(packet)
    return packets


def _inside(packet: Packet, hw: HardwareConfig) -> bool:
    """Whether no word lies behind the end of its memory."""
    ends = {"act": hw.act_words, "weight": hw.weight_words, "param": hw.param_words}
    return all(a.words[-1, 1] <= ends.get(a.space, a.words[-1, 1]) for a in footprint(packet, hw))


def _apart(packet: Packet, hw: HardwareConfig) -> bool:
    """Whether no word of the scratchpad is both read and written, what works in place apart."""
    spans = {
        w: [
            s
            for a in footprint(packet, hw)
            if a.space == "act" and a.write is w and not (a.role != "out" and same_region(packet, a.role))
            for s in a.words.tolist()
        ]
        for w in (False, True)
    }
    return not any(a < d and c < b for a, b in spans[False] for c, d in spans[True])


def small_packet(hw: HardwareConfig, name: str, change: Values) -> Packet:
    """A small packet with some fields changed; its regions lie apart in the middle of the scratchpad."""
    middle, step = hw.act_words // 2, min(8, hw.act_words // 32)
    v: Values = {
        "lo": INT8.lo,
        "hi": INT8.hi,
        "mode": PoolMode.AVERAGE,
        "n0": 1,
        "n1": 1,
        "n2": 1,
        "n3": 1,
        "move": Move.FILL_ACT if name == "COPY" else GatherMove.GATHER_ACT,
    }
    v |= {"weight_base": 7, "param_base": 7, "table_base": 20, "mask_base": 40}
    for at, region in enumerate(("in", "a", "res", "b", "out", "c", "row", "reduce", "index", "act")):
        v |= {
            f"{region}_base": middle + step * at,
            f"{region}_row_stride": 2,
            f"{region}_pitch": 1,
            f"{region}_ring": 2,
        }
    known = BY_NAME[name].by_name
    return make_packet(name, **{k: x for k, x in v.items() if k in known} | change)


def run_each(hw: HardwareConfig, case_id: str, packets: list[Packet]) -> Case:
    """Load, execute and store, packet by packet."""
    rng, builder = np.random.default_rng(zlib.crc32(case_id.encode())), Builder(hw)
    for packet in packets:
        _load(builder, rng, packet)
        builder.add(packet)
        for access in footprint(packet, hw):
            for first, end in access.words.tolist() if access.write else ():
                builder.store_act(first, end - first)
    builder.halt()
    return Case(case_id, builder.build())


def _load(builder: Builder, rng: Rng, packet: Packet) -> None:
    """Load what a packet reads: random activations and weights; records, which also serve as tables and masks."""
    hw = builder.hw
    for access in footprint(packet, hw):
        if access.write:
            continue
        spans = access.words.tolist()
        if len(spans) > MANY:
            spans = [[spans[0][0], spans[-1][1]]]
        for first, end in spans:
            if access.role == "index":  # of a GATHER: row 0
                builder.load_act(np.zeros((end - first, hw.act_word_bytes), np.int8), first)
            elif access.space == "act":
                builder.load_act(fill(rng, (end - first, hw.act_word_bytes), "random"), first)
            elif access.space == "weight":
                builder.load_weight(fill(rng, (end - first, hw.weight_word_bytes), "random"), first)
            else:
                records = draw_records(rng, (end - first) * hw.block, 74 * 74.0)
                builder.load_param(records.reshape(end - first, hw.param_word_bytes), first)


def _region(hw: HardwareConfig, ins: Instruction, p: str, use: RegionUse) -> Iterator[Values]:
    """Bases, strides, pitches, rings and slots of a region: 0, 1, high bits set, the last word."""
    last, high = hw.act_words - 1, 3 * hw.act_words // 4
    for base in (0, 1, high, last):
        yield use.on | {f"{p}_base": base}
    rows = next(f for f in (f"{p}_row_stride", f"{p}_batch_stride") if f in ins.by_name)
    yield use.on | {rows: 0, f"{p}_pitch": 0}
    for step in (1, high, last):
        yield use.on | {f"{p}_base": 0, rows: step} | use.two_rows
    for pitch in (1, 3 << 12, min(ins.limit(f"{p}_pitch"), last)):
        yield use.on | use.two_blocks | {f"{p}_base": 0, f"{p}_pitch": pitch}
    if f"{p}_ring" in ins.by_name:
        most = ins.limit(f"{p}_ring")
        for ring, slot in ((1, 0), (3, 1), (1500, 1200), (most, most - 1)):
            yield use.on | {f"{p}_base": 0, f"{p}_ring": ring, f"{p}_slot": slot}
        yield use.on | use.two_rows | {f"{p}_base": 0, f"{p}_ring": most, f"{p}_slot": most - 1}


def _requantize(name: str) -> Iterator[Values]:
    ends = (INT8.lo, 0, INT8.hi)
    for out_zero in ends:
        yield {"out_zero": out_zero}
    for lo in ends:
        yield {"lo": lo}
        yield {"lo": INT8.lo, "hi": lo}
    yield {"lo": 5}
    for rounding, mode in zip(Rounding, MaskMode, strict=True):  # three of each
        both = {"residual_enable": 1, "mask_mode": mode} if name == "CONV" else {"scale_by": ScaleBy.TENSOR}
        if name in ("CONV", "GEMM"):
            yield {"rounding": rounding, "table_enable": 1, **both}
    zeros = {
        "CONV": ("in_zero",),
        "POOL": ("in_zero",),
        "VEC": ("a_zero", "b_zero", "b_scalar"),
        "ROW": ("a_zero", "b_zero"),
    }
    for field in zeros.get(name, ()):
        for zero in ends:
            product = {"function": RowFunction.MUL, "b_kind": OperandKind.TENSOR} if name == "ROW" else {}
            yield {field: zero, **({"b_kind": BKind.SCALAR} if field == "b_scalar" else {}), **product}


def _tall(names: tuple[str, ...], rows: int) -> Values:
    """Regions of `rows` rows of one word, one after the other from word 0."""
    v: Values = {}
    for at, p in enumerate(names):
        v |= {f"{p}_base": at * 2048, f"{p}_ring": rows, f"{p}_slot": rows // 2, f"{p}_row_stride": 1}
    return v


def _widths(hw: HardwareConfig) -> tuple[int, int]:
    """Two long rows that the scratchpad holds."""
    return min(9000, 9 * hw.act_words // 16), min(CONV.limit("in_w"), hw.act_words - 1)


def _conv_sizes(hw: HardwareConfig) -> Iterator[Values]:
    act = hw.act_words
    for rows in (1500, CONV.limit("in_h")):
        yield {"in_h": rows, "out_h": rows, **_tall(("in", "out"), rows)}
    for wide in _widths(hw):
        out = min(wide // 4, act // 8)
        yield {"in_w": wide, "in_base": 0, "stride_w": CONV.limit("stride_w"), "out_w": out, "out_base": act - out}
        yield {"out_w": wide, "in_base": 0, "out_base": 1}
    for blocks in (600, CONV.limit("in_blocks")):
        yield {"in_blocks": blocks, "in_base": 0, "weight_base": 0}
        yield {"out_blocks": blocks, "out_base": 0, "weight_base": 0, "param_base": 0}
    for pad in (CONV.limit("pad_top"), 130):
        yield {"pad_top": pad, "kernel_h": CONV.limit("kernel_h"), "dilation_h": 17, "in_h": 2, "out_h": 2}
        yield {
            "pad_left": pad,
            "kernel_w": CONV.limit("kernel_w"),
            "dilation_w": 18,
            "in_w": 2,
            "out_w": 2,
            "out_pitch": 2,
        }
    for dilation in (5, CONV.limit("dilation_h")):
        yield {"dilation_h": dilation, "kernel_h": 2, "in_h": 40, **_tall(("in",), 40)}
        yield {"dilation_w": dilation, "kernel_w": 2, "in_w": 40, "in_base": 0}


def _memories(hw: HardwareConfig, name: str) -> Iterator[Values]:
    """Bases in the weight scratchpad and the parameter memory."""
    table = hw.param_words - TABLE_BYTES // hw.param_word_bytes
    for weight, param, entries in (
        (0, 0, 40),
        (1, 1, 0),
        (3 * hw.weight_words // 4, 3 * hw.param_words // 4, 1),
        (hw.weight_words - 1, hw.param_words - 1, 3 * hw.param_words // 4),
        (9, 9, table),
    ):
        yield {"weight_base": weight, "param_base": param, "table_enable": 1, "table_base": entries}
    for mask in (0, 1, 3 * hw.param_words // 4, hw.param_words - 1) if name == "CONV" else ():
        yield {"mask_mode": MaskMode.MASK, "mask_base": mask}
    for stride in (0, 1, 3 * hw.weight_words // 4, hw.weight_words - 1) if name == "GEMM" else ():
        yield {"batch": 2, "weight_base": 0, "weight_batch_stride": stride, "out_batch_stride": 1}


def _gemm_sizes(hw: HardwareConfig) -> Iterator[Values]:
    for quarters in (3, 4):
        m = min(GEMM.limit("m"), hw.act_words // 2) * quarters // 4
        yield {"m": m, "in_base": 0, "out_base": hw.act_words // 2}
        blocks = min(GEMM.limit("k_blocks"), hw.weight_words) * quarters // 4
        one = {"weight_base": 0, "scale_by": ScaleBy.TENSOR}
        yield {"k_blocks": blocks, "in_base": 0, "in_pitch": 1, **one}
        yield {"n_blocks": blocks, "out_base": 0, "out_pitch": 1, **one}
        batch = GEMM.limit("batch") * quarters // 4
        yield {"batch": batch, "in_base": 0, "in_batch_stride": 1, "out_base": 2048, "out_batch_stride": 1}
    for p in ("in", "out"):
        for step in (0, 1, 5, 3 * hw.act_words // 4, hw.act_words - 1):
            places = {f"{p}_base": 0, "out_batch_stride": 2, f"{p}_batch_stride": max(step, p == "out")}
            yield {"batch": 2, **places}


def _pool_sizes(hw: HardwareConfig) -> Iterator[Values]:
    act, most = hw.act_words, POOL.limit("stride_w")
    for rows in (1500, POOL.limit("in_h")):
        yield {"in_h": rows, "out_h": rows, **_tall(("in", "out"), rows)}
        yield {"in_h": rows, "kernel_h": rows, **_tall(("in",), rows)}
        yield {"in_w": rows, "kernel_w": rows, "in_base": 0}
    for wide in _widths(hw):
        out = min(wide // most, act // 16)  # ends behind the last pixel that is read
        yield {"in_w": wide, "in_base": 0, "stride_w": most, "out_w": out, "out_base": act - out}
        yield {"in_w": min(wide, act - wide), "in_base": 0, "out_w": min(wide, act - wide), "out_base": act - wide}
    for wide in _widths(hw):  # windows that end left of the first pixel have no tap: the whole row reads padding
        yield {"mode": PoolMode.MAX, "in_w": 1, "in_base": 0, "out_w": wide, "out_base": 1}
    for blocks in (600, POOL.limit("in_blocks")):
        many = {"in_blocks": blocks, "in_base": 0, "out_base": 2048}
        yield {**many, "channels": blocks * hw.block}
    for channels in (9000, POOL.limit("channels")):
        yield {"channels": channels}
    for stride in (9, POOL.limit("stride_h")):
        yield {"stride_h": stride, "in_h": 2 * stride, "out_h": 2, **_tall(("in",), 2 * stride)}
        yield {"stride_w": stride, "in_w": 2 * stride, "in_base": 0, "out_w": 2}
    for pad in (130, POOL.limit("pad_top")):
        yield {"pad_top": pad, "kernel_h": pad + 1}
        yield {"pad_left": pad, "kernel_w": pad + 1}
    for param in (0, 1, 3 * hw.param_words // 4, hw.param_words - 1):
        yield {"param_base": param}


def _vec_sizes(hw: HardwareConfig) -> Iterator[Values]:
    for rows in (1500, VEC.limit("out_h")):
        yield {"out_h": rows, **_tall(("a", "b", "out"), rows)}
    # in place: two regions of the largest sizes do not fit `tiny`
    scalar = {"b_kind": BKind.SCALAR, "a_base": 0, "out_base": 0}
    for wide in _widths(hw):
        yield {"out_w": wide, **scalar}
    for blocks in (600, VEC.limit("out_blocks")):
        yield {"out_blocks": blocks, **scalar}
    for mult in (0, 1, 5, 3 << 22, VEC.limit("a_mult")):
        yield {"a_mult": mult, "b_mult": VEC.limit("b_mult"), "shift": 23}
        yield {"a_mult": VEC.limit("a_mult"), "b_mult": mult, "shift": 23}
    for table in (0, 1, 3 * hw.param_words // 4, hw.param_words - TABLE_BYTES // hw.param_word_bytes):
        yield {"table_enable": 1, "table_base": table}


SIZES: dict[str, Callable[[HardwareConfig], Iterator[Values]]] = {
    "CONV": _conv_sizes,
    "GEMM": _gemm_sizes,
    "POOL": _pool_sizes,
    "VEC": _vec_sizes,
    "ROW": limit_rows.row_sizes,
    "REDUCE": limit_rows.reduce_sizes,
    "RECIP": limit_rows.recip_sizes,
    "GATHER": limit_rows.gather_sizes,
}
