"""POOL: maximum or average over a window."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.access import Access, Params
from vla_isa.banks import STRETCH, Beats
from vla_isa.cost import Cost, Timing, Touches
from vla_isa.engine_cycles import vector_cost
from vla_isa.engine_words import POOL_READS, Stretch
from vla_isa.fields import Field, pack_fields
from vla_isa.footprint import access, region_words, require_fit, taps, whole_region
from vla_isa.generated import codes
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.shared_fields import header, region, requantize, ring_rules
from vla_isa.instructions.shared_meaning import I64, act_word, pixel_address, put_act, records
from vla_isa.integer import INT8
from vla_isa.intervals import runs
from vla_isa.memories import Memories
from vla_isa.operands import Arena, Operands, RegionUse, Rng, Values, draw_clamps, draw_int8, draw_number, draw_region
from vla_isa.packet import Instruction, Packet

__all__ = ["POOL"]


def _window_counts(outputs: int, kernel: int, stride: int, pad: int, size: int) -> NDArray[np.int64]:
    """Distinct numbers of taps of one dimension that lie inside the input."""
    first = np.arange(outputs) * stride - pad
    return np.unique(np.clip(first + kernel, 0, size) - np.clip(first, 0, size))


def _footprint(packet: Packet, hw: HardwareConfig, params: Params | None) -> Iterator[Access]:
    v = packet.values
    require_fit(packet, "in", v["in_h"] * v["in_w"] * v["in_blocks"], hw.act_words, "activation scratchpad")
    require_fit(packet, "out", v["out_h"] * v["out_w"] * v["in_blocks"], hw.act_words, "activation scratchpad")
    rows = taps(v["out_h"], v["kernel_h"], v["stride_h"], 1, v["pad_top"], v["in_h"])
    cols = taps(v["out_w"], v["kernel_w"], v["stride_w"], 1, v["pad_left"], v["in_w"])
    yield access("act", False, "in", region_words(packet, "in", rows, np.arange(v["in_blocks"]), runs(cols)))
    if v["mode"] == codes.PoolMode.AVERAGE:
        used = np.array([0])
        if v["count"] == codes.PoolCount.VALID:
            high = _window_counts(v["out_h"], v["kernel_h"], v["stride_h"], v["pad_top"], v["in_h"])
            wide = _window_counts(v["out_w"], v["kernel_w"], v["stride_w"], v["pad_left"], v["in_w"])
            inside = np.multiply.outer(high, wide)
            used = np.unique((inside[inside > 0] - 1) // hw.block)
        yield access("param", False, "records", v["param_base"] + runs(used))
    yield access("act", True, "out", whole_region(packet, "out", v["out_h"], v["out_w"], v["in_blocks"]))


def _cost(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    v = packet.values

    def inside(side: str, pad: int) -> NDArray[np.int64]:
        first = np.arange(v[f"out_{side}"]) * v[f"stride_{side}"] - pad
        size: int = v[f"in_{side}"]
        taps: NDArray[np.int64] = np.clip(first + v[f"kernel_{side}"], 0, size) - np.clip(first, 0, size)
        return taps

    taps = np.multiply.outer(inside("h", v["pad_top"]), inside("w", v["pad_left"])).ravel()
    steps = np.maximum(-(-taps // 2), 1)
    one, two = (_side_by_side(np.tile(steps, blocks)) for blocks in (1, 2))
    average = v["mode"] == codes.PoolMode.AVERAGE
    return vector_cost(
        v["in_blocks"] // 2 * two + v["in_blocks"] % 2 * one,
        timing.pool_overhead if average else timing.pool_max_overhead,
        "compute",
        timing.vec_setup,
        Touches(reads=partial(_reads, packet)),
    )


def _side_by_side(steps: NDArray[np.int64]) -> int:
    """Cycles of windows of so many steps, two at a time; beside a block's last one may be the next block's first."""
    pairs = np.append(steps, np.zeros(steps.size % 2, np.int64)).reshape(-1, 2)
    return int(pairs.max(axis=1).sum())


def _reads(packet: Packet, done: float) -> Beats:
    """The windows of two output pixels side by side, two words of each in a cycle; each is a walk of its own."""
    v = packet.values
    size, count = v["kernel_h"] * v["kernel_w"], v["out_h"] * v["out_w"]
    windows = v["in_blocks"] * count
    part = Stretch.of(-(-windows // 2), -(-size // 2), done)
    window = 2 * part.jobs[:, None, None] + np.arange(2)[:, None]
    block, pixel = np.divmod(window, count)
    tap = np.arange(2 * -(-size // 2))
    iy = pixel // v["out_w"] * v["stride_h"] - v["pad_top"] + tap // v["kernel_w"]
    ix = pixel % v["out_w"] * v["stride_w"] - v["pad_left"] + tap % v["kernel_w"]
    inside = (iy >= 0) & (iy < v["in_h"]) & (ix >= 0) & (ix < v["in_w"]) & (tap < size) & (window < windows)
    words = v["in_base"] + (v["in_slot"] + iy) % v["in_ring"] * v["in_row_stride"] + block * v["in_pitch"] + ix
    first = np.argsort(~inside, axis=2, kind="stable")  # those inside, without gaps
    words = np.take_along_axis(np.where(inside, words, -1), first, axis=2)
    beats = words.reshape(len(part.jobs), 2, -1, 2).transpose(0, 2, 1, 3).reshape(-1, 4)
    pair, step = np.divmod(np.arange(len(beats)), -(-size // 2))
    some = (beats >= 0).any(axis=1) | (step == 0)
    pairs = tuple(part.left(pair[some])[:STRETCH].tolist())
    return Beats.of(part.left(beats[some]), all=part.all, walk=2, starts=POOL_READS, windows=pairs)


def _meaning(packet: Packet, memories: Memories) -> None:
    block, average = memories.hw.block, packet["mode"] == codes.PoolMode.AVERAGE
    for c in range(packet["in_blocks"]):
        real = np.arange(c * block, (c + 1) * block) < packet["channels"]
        for y in range(packet["out_h"]):
            for x in range(packet["out_w"]):
                taps = _taps(packet, memories, c, y, x)
                q = _average(packet, memories, taps) if average else _maximum(memories, taps)
                put_act(memories, pixel_address(packet, "out", y, c, x), np.where(real, q, packet["out_zero"]))


def _taps(packet: Packet, memories: Memories, c: int, y: int, x: int) -> list[I64]:
    """The input words inside the window of output pixel (y, x)."""
    out = []
    for ky in range(packet["kernel_h"]):
        for kx in range(packet["kernel_w"]):
            iy = y * packet["stride_h"] + ky - packet["pad_top"]
            ix = x * packet["stride_w"] + kx - packet["pad_left"]
            if 0 <= iy < packet["in_h"] and 0 <= ix < packet["in_w"]:
                out.append(act_word(memories, pixel_address(packet, "in", iy, c, ix)))
    return out


def _maximum(memories: Memories, taps: list[I64]) -> I64:
    best = np.full(memories.hw.block, INT8.lo, np.int64)
    for tap in taps:
        best = np.maximum(best, tap)
    return best


def _average(packet: Packet, memories: Memories, taps: list[I64]) -> I64:
    total = np.zeros(memories.hw.block, np.int64)
    for tap in taps:
        total = total + (tap - packet["in_zero"])
    number = max(len(taps) - 1, 0) if packet["count"] == codes.PoolCount.VALID else 0
    word, lane = divmod(number, memories.hw.block)
    _, mult, shift = records(memories, packet["param_base"] + word)
    return numerics.average(
        total, mult[lane], shift[lane], packet["rounding"], packet["out_zero"], packet["lo"], packet["hi"]
    )


def _draw(
    rng: Rng,
    arena: Arena,
    *,
    in_ring: bool | None = None,
    out_ring: bool | None = None,
    **fixed: int,
) -> Values:
    """A POOL. Choices: rings, any field."""
    hw = arena.hw
    blocks = fixed.get("in_blocks", draw_number(rng, 1, 3))
    v: Values = {
        "in_h": draw_number(rng, 1, 8),
        "in_w": draw_number(rng, 1, 9),
        "in_blocks": blocks,
        "in_zero": draw_int8(rng),
        "channels": draw_number(rng, (blocks - 1) * hw.block + 1, blocks * hw.block),
        "mode": draw_number(rng, 0, 1),
        "count": draw_number(rng, 0, 1),
        "kernel_h": draw_number(rng, 1, 4),
        "kernel_w": draw_number(rng, 1, 4),
        "stride_h": draw_number(rng, 1, 4),
        "stride_w": draw_number(rng, 1, 4),
        "out_h": draw_number(rng, 1, 4),
        "out_w": draw_number(rng, 1, 6),
        **draw_clamps(rng),
        **fixed,
    }
    # every window has a tap inside the input
    v["pad_top"] = fixed.get("pad_top", draw_number(rng, 0, v["kernel_h"] - 1))
    v["pad_left"] = fixed.get("pad_left", draw_number(rng, 0, v["kernel_w"] - 1))
    v["out_h"] = min(v["out_h"], (v["in_h"] - 1 + v["pad_top"]) // v["stride_h"] + 1)
    v["out_w"] = min(v["out_w"], (v["in_w"] - 1 + v["pad_left"]) // v["stride_w"] + 1)
    v |= draw_region(rng, arena, "in", v["in_h"], v["in_w"], blocks, ring=in_ring)
    v |= draw_region(rng, arena, "out", v["out_h"], v["out_w"], blocks, ring=out_ring)
    taps = np.arange(1, v["kernel_h"] * v["kernel_w"] + 1)
    parts = [numerics.scale_to_multiplier(float(np.float32(rng.uniform(0.5, 2)) / n)) for n in taps]
    v["param_base"] = arena.put_params(
        numerics.pack_records(rng.integers(-9, 9, taps.size), [m for m, _ in parts], [s for _, s in parts])
    )
    return v


POOL = Instruction(
    name="POOL",
    opcode=0x04,
    queue="vec",
    summary="Max or average over a window; a global pool's kernel is the whole map. Max pads with -128 and "
    "writes the maximum as it is (no requantization, no clamp). "
    "Average requantizes the sum of (x - in_zero) over the taps inside the input by record 0 "
    "(count fixed) or record n - 1 (count valid: n taps inside); record r is lane r mod B of "
    "parameter word param_base + r div B, and its bias is ignored. Channels from `channels` on are "
    "written as out_zero.",
    fields=pack_fields(
        [
            *header(),
            *region("in", "the input", size=True, blocks=True),
            Field("in_zero", 8, "input zero point", signed=True),
            Field("channels", 14, "real channels", minimum=1),
            Field("mode", 1, "what is computed", enum=("max", "average"), code="PoolMode"),
            Field("count", 1, "which record an average uses", enum=("fixed", "valid"), code="PoolCount"),
            Field("kernel_h", 11, "window rows", minimum=1),
            Field("kernel_w", 11, "window columns", minimum=1),
            Field("stride_h", 4, "row stride", minimum=1),
            Field("stride_w", 4, "column stride", minimum=1),
            Field("pad_top", 8, "rows of padding above"),
            Field("pad_left", 8, "pixels of padding on the left"),
            *region("out", "the output", size=True),
            Field("param_base", 16, "parameter word of the averages' records", below="param_words"),
            *requantize(),
        ]
    ),
    rules=(*ring_rules("in", "in_h"), *ring_rules("out", "out_h")),
    footprint=_footprint,
    cost=_cost,
    meaning=_meaning,
    operands=Operands(
        _draw,
        inputs=("in_base",),
        regions={
            "in": RegionUse({"in_blocks": 2, "channels": 17}, {"in_h": 2, "kernel_h": 2}),
            "out": RegionUse({"in_blocks": 2, "channels": 17}, {"in_h": 2, "out_h": 2}),
        },
    ),
)
