"""CONV: 2-D convolution over data on chip, requantized per output channel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.access import Access, Params
from vla_isa.cost import Cost, Timing
from vla_isa.engine_cycles import drain_groups, mac_cost, strip_steps
from vla_isa.fields import Field, Rule, pack_fields
from vla_isa.footprint import access, live_blocks, region_words, require_fit, table_access, taps, whole_region
from vla_isa.generated import codes
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.conv_words import banks_touched, residual_waits
from vla_isa.instructions.shared_fields import header, region, requantize, ring_rules, table
from vla_isa.instructions.shared_meaning import (
    I64,
    act_word,
    look_up,
    mask_bit,
    param_word,
    pixel_address,
    put_act,
    records,
    requantized,
    weight_word,
)
from vla_isa.integer import INT8
from vla_isa.intervals import runs, single
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
    draw_records,
    draw_region,
    draw_table,
)
from vla_isa.packet import Instruction, Packet

__all__ = ["CONV"]


def _mask_words(packet: Packet) -> range:
    """One parameter word per out block, where a mask is used."""
    masked = packet["mask_mode"] == codes.MaskMode.MASK
    return range(packet["mask_base"], packet["mask_base"] + packet["out_blocks"]) if masked else range(0)


def _in_place(packet: Packet) -> tuple[str, ...]:
    """The result may take the residual's place."""
    return ("res",)


def _act_bases(packet: Packet) -> tuple[str, ...]:
    return ("in_base", "out_base", "res_base") if packet["residual_enable"] else ("in_base", "out_base")


def _live_blocks(packet: Packet, hw: HardwareConfig, params: Params | None) -> NDArray[np.bool_]:
    """Which weight blocks exist: bool [out blocks, in blocks]."""
    outs, ins = packet["out_blocks"], packet["in_blocks"]
    if packet["mask_mode"] == codes.MaskMode.DIAGONAL:
        return np.eye(outs, ins, dtype=np.bool_)
    return live_blocks(packet, (outs, ins), hw, params)


def _footprint(packet: Packet, hw: HardwareConfig, params: Params | None) -> Iterator[Access]:
    v = packet.values
    require_fit(packet, "in", v["in_h"] * v["in_w"] * v["in_blocks"], hw.act_words, "activation scratchpad")
    require_fit(packet, "out", v["out_h"] * v["out_w"] * v["out_blocks"], hw.act_words, "activation scratchpad")
    live = _live_blocks(packet, hw, params)
    rows = taps(v["out_h"], v["kernel_h"], v["stride_h"], v["dilation_h"], v["pad_top"], v["in_h"])
    cols = taps(v["out_w"], v["kernel_w"], v["stride_w"], v["dilation_w"], v["pad_left"], v["in_w"])
    blocks = np.flatnonzero(live.any(axis=0))
    yield access("act", False, "in", region_words(packet, "in", rows, blocks, runs(cols)))
    yield access("weight", False, "weights", single(v["weight_base"], int(live.sum()) * v["kernel_h"] * v["kernel_w"]))
    count = v["out_blocks"] + v["residual_enable"]
    yield access("param", False, "records", single(v["param_base"], count))
    yield from table_access(packet, hw)
    mask = _mask_words(packet)
    yield access("param", False, "mask", single(mask.start, len(mask)))
    if v["residual_enable"]:
        yield access("act", False, "res", whole_region(packet, "res", v["out_h"], v["out_w"], v["out_blocks"]))
    yield access("act", True, "out", whole_region(packet, "out", v["out_h"], v["out_w"], v["out_blocks"]))


def _cost(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    v = packet.values
    strips = strip_steps(
        hw.pixels,
        (v["out_h"], v["out_w"]),
        (v["in_h"], v["in_w"]),
        (v["kernel_h"], v["kernel_w"]),
        (v["stride_h"], v["stride_w"]),
        (v["dilation_h"], v["dilation_w"]),
        (v["pad_top"], v["pad_left"]),
        (v["in_ring"], v["in_slot"], v["in_row_stride"]),
    )
    outs = _live_blocks(packet, hw, params).sum(axis=1)
    drains = np.tile(drain_groups(v["out_h"] * v["out_w"], hw), (len(outs), 1))
    behind = timing.mac_residual if v["residual_enable"] else 0
    return mac_cost(
        strips,
        outs,
        drains,
        hw,
        timing,
        taps=v["kernel_h"] * v["kernel_w"],
        table=v["table_enable"] == 1,
        waits=residual_waits(packet, hw, len(strips), int(outs.max())),
        behind=behind,
        touches=banks_touched(packet, hw, strips, outs, timing),
    )


def _live(packet: Packet, memories: Memories, o: int) -> list[int]:
    """The in blocks whose weights exist for out block o."""
    every = range(packet["in_blocks"])
    if packet["mask_mode"] == codes.MaskMode.DENSE:
        return list(every)
    if packet["mask_mode"] == codes.MaskMode.DIAGONAL:
        return [o]
    return [i for i in every if mask_bit(memories, packet["mask_base"], o, i)]


def _meaning(packet: Packet, memories: Memories) -> None:
    taps = packet["kernel_h"] * packet["kernel_w"]
    word = packet["weight_base"]
    for o in range(packet["out_blocks"]):
        live = _live(packet, memories, o)
        weights = [weight_word(memories, word + n) for n in range(len(live) * taps)]
        word += len(weights)
        bias, mult, shift = records(memories, packet["param_base"] + o)
        if not live and packet["mask_empty"] == codes.MaskEmpty.ZERO:
            bias = np.zeros_like(bias)
        for y in range(packet["out_h"]):
            for x in range(packet["out_w"]):
                acc = _sum(packet, memories, live, weights, y, x)
                q = requantized(packet, acc, (bias, mult, shift))
                put_act(memories, pixel_address(packet, "out", y, o, x), _tail(packet, memories, q, y, o, x))


def _sum(packet: Packet, memories: Memories, live: list[int], weights: list[I64], y: int, x: int) -> I64:
    """The accumulators of output pixel (y, x) for one out block, before they wrap."""
    acc = np.zeros(memories.hw.block, np.int64)
    number = 0
    for i in live:
        for ky in range(packet["kernel_h"]):
            for kx in range(packet["kernel_w"]):
                iy = y * packet["stride_h"] + ky * packet["dilation_h"] - packet["pad_top"]
                ix = x * packet["stride_w"] + kx * packet["dilation_w"] - packet["pad_left"]
                if 0 <= iy < packet["in_h"] and 0 <= ix < packet["in_w"]:
                    pixel = act_word(memories, pixel_address(packet, "in", iy, i, ix))
                else:
                    pixel = np.full(memories.hw.block, packet["in_zero"], np.int64)
                acc = acc + weights[number] @ pixel
                number += 1
    return acc


def _tail(packet: Packet, memories: Memories, q: I64, y: int, o: int, x: int) -> I64:
    """Table, then residual."""
    q = look_up(packet, memories, q)
    if packet["residual_enable"]:
        word = param_word(memories, packet["param_base"] + packet["out_blocks"])
        record = numerics.ResidualRecord.unpack(word[: numerics.RESIDUAL_BYTES].tobytes())
        other = act_word(memories, pixel_address(packet, "res", y, o, x))
        q = numerics.residual_add(q, other, record, packet["rounding"])
    return q


def _draw(
    rng: Rng,
    arena: Arena,
    *,
    records: str = "usual",
    mask_bits: str = "random",
    in_ring: bool | None = None,
    out_ring: bool | None = None,
    pitch: int | None = None,
    **fixed: int,
) -> Values:
    """A CONV. Choices: record style, `mask_bits` ("random", "none", "one"), rings, any field."""
    hw = arena.hw
    v: Values = {
        "in_h": draw_number(rng, 1, 7),
        "in_w": draw_number(rng, 1, 9),
        "in_blocks": draw_number(rng, 1, 3),
        "in_zero": draw_int8(rng),
        "kernel_h": draw_number(rng, 1, 4),
        "kernel_w": draw_number(rng, 1, 4),
        "stride_h": draw_number(rng, 1, 4),
        "stride_w": draw_number(rng, 1, 4),
        "dilation_h": draw_number(rng, 1, 2),
        "dilation_w": draw_number(rng, 1, 3),
        "pad_top": draw_number(rng, 0, 3),
        "pad_left": draw_number(rng, 0, 3),
        "out_h": draw_number(rng, 1, 4),
        "out_w": draw_number(rng, 1, 11),
        "out_blocks": draw_number(rng, 1, 3),
        "mask_mode": int(rng.integers(len(codes.MaskMode))),
        "mask_empty": draw_number(rng, 0, 1),
        "table_enable": draw_number(rng, 0, 3) == 0,
        "residual_enable": draw_number(rng, 0, 2) == 0,
        **draw_clamps(rng),
        **fixed,
    }
    if v["mask_mode"] == codes.MaskMode.DIAGONAL:
        v["in_blocks"] = v["out_blocks"]
    v |= draw_region(rng, arena, "in", v["in_h"], v["in_w"], v["in_blocks"], ring=in_ring, pitch=pitch)
    if v["residual_enable"]:
        v |= draw_region(rng, arena, "res", v["out_h"], v["out_w"], v["out_blocks"])
    v |= draw_region(rng, arena, "out", v["out_h"], v["out_w"], v["out_blocks"], ring=out_ring)
    live = v["in_blocks"] * v["out_blocks"] if v["mask_mode"] == codes.MaskMode.DENSE else v["out_blocks"]
    if v["mask_mode"] == codes.MaskMode.MASK:
        bits = _draw_mask(rng, v["out_blocks"], v["in_blocks"], mask_bits)
        words = np.zeros((v["out_blocks"], hw.param_word_bytes * 8), np.uint8)
        words[:, : v["in_blocks"]] = bits
        v["mask_base"] = arena.put_params(np.packbits(words, axis=1, bitorder="little"))
        live = int(bits.sum())
    taps = v["kernel_h"] * v["kernel_w"]
    v["weight_base"] = arena.take_weight(max(1, live * taps)) if live else 0
    depth = taps * v["in_blocks"] * hw.block if v["mask_mode"] != codes.MaskMode.DIAGONAL else taps * hw.block
    parts = draw_records(rng, v["out_blocks"] * hw.block, 74 * 74 * depth**0.5, records)
    tail = np.zeros(hw.param_word_bytes, np.uint8)
    tail[: numerics.RESIDUAL_BYTES] = np.frombuffer(_draw_residual(rng).pack(), np.uint8)
    v["param_base"] = arena.put_params(np.concatenate([parts.reshape(-1), tail]))
    if v["table_enable"]:
        v["table_base"] = arena.put_params(draw_table(rng))
    return v


def _draw_mask(rng: Rng, rows: int, columns: int, kind: str) -> NDArray[np.uint8]:
    bits = rng.integers(0, 2, (rows, columns), dtype=np.uint8)
    if kind == "none":
        bits[:] = 0
    if kind == "one":
        bits[:] = 0
        bits[rows - 1, columns - 1] = 1
    return bits


def _draw_residual(rng: Rng) -> numerics.ResidualRecord:
    lo, hi = (INT8.lo, INT8.hi) if rng.integers(0, 2) else (-10, 90)
    return numerics.ResidualRecord(
        a_mult=draw_number(rng, 0, (1 << 24) - 1),
        b_mult=draw_number(rng, 1 << 22, (1 << 24) - 1),
        shift=draw_number(rng, 22, 26),
        a_zero=draw_int8(rng),
        b_zero=draw_int8(rng),
        out_zero=draw_int8(rng),
        lo=lo,
        hi=hi,
    )


CONV = Instruction(
    name="CONV",
    opcode=0x01,
    queue="mac",
    summary="2-D convolution over data on chip, requantized per output channel; optional output table, "
    "fused residual add and tile mask. Input row oy*stride_h + ky*dilation_h - pad_top; rows and "
    "pixels outside the input read as in_zero. Weight words lie in the order [out block][live in "
    "block][ky][kx], each B x B bytes [out channel][in channel]. Records of out block o are "
    "parameter word param_base + o; with residual_enable the word param_base + out_blocks holds "
    "the residual record (numerics.ResidualRecord). In this order: requantize, table, residual; a "
    "masked-out block that gets `zero` requantizes 0 with bias 0. Word addresses wrap at the end of "
    "each on-chip memory.",
    fields=pack_fields(
        [
            *header(),
            *region("in", "the input", size=True, blocks=True),
            Field("in_zero", 8, "input zero point: what padding reads as", signed=True),
            Field("kernel_h", 4, "kernel rows", minimum=1),
            Field("kernel_w", 4, "kernel columns", minimum=1),
            Field("stride_h", 3, "row stride", minimum=1, maximum=4),
            Field("stride_w", 3, "column stride", minimum=1, maximum=4),
            Field("dilation_h", 5, "row dilation", minimum=1),
            Field("dilation_w", 5, "column dilation", minimum=1),
            Field("pad_top", 8, "rows of padding above the input"),
            Field("pad_left", 8, "pixels of padding left of the input"),
            *region("out", "the output", size=True, blocks=True),
            Field("weight_base", 16, "weight word of the first weight block", below="weight_words"),
            Field("param_base", 16, "parameter word of the records", below="param_words"),
            *requantize(),
            *table(),
            Field(
                "mask_mode",
                2,
                "which weight blocks exist: all; the bits of the mask; in block = out block (depthwise)",
                enum=("dense", "mask", "diagonal"),
                code="MaskMode",
            ),
            Field(
                "mask_base",
                16,
                "parameter word of the mask: one word per out block, bit i = in block i",
                below="param_words",
            ),
            Field(
                "mask_empty",
                1,
                "an out block without a live in block gets: its zero point; its bias",
                enum=("zero", "bias"),
                code="MaskEmpty",
            ),
            Field("residual_enable", 1, "add a second tensor to the requantized result"),
            *region("res", "the residual", size=False),
        ]
    ),
    rules=(
        *ring_rules("in", "in_h"),
        *ring_rules("out", "out_h"),
        Rule("residual_enable == 0 || res_slot < res_ring", "the slot of row 0 lies in the ring of `res`"),
        Rule("residual_enable == 0 || out_h <= res_ring", "all rows of `res` are in its ring at once"),
        Rule("mask_mode != 2 || in_blocks == out_blocks", "a diagonal mask has as many in as out blocks"),
    ),
    footprint=_footprint,
    cost=_cost,
    meaning=_meaning,
    mask_words=_mask_words,
    in_place=_in_place,
    act_bases=_act_bases,
    operands=Operands(
        _draw,
        inputs=("in_base", "res_base"),
        regions={
            "in": RegionUse({"in_blocks": 2}, {"in_h": 2, "kernel_h": 2}),
            "out": RegionUse({"out_blocks": 2}, {"in_h": 2, "out_h": 2}),
            "res": RegionUse({"out_blocks": 2}, {"in_h": 2, "out_h": 2}, on={"residual_enable": 1}),
        },
        often=3,
    ),
)
