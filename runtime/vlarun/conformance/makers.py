"""One maker per instruction: a seeded, small, legal packet; keyword choices pin what a directed case is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vla_isa import numerics
from vla_isa.encoding import make_packet
from vla_isa.instructions import MOVES
from vlarun.conformance.operands import (
    Arena,
    Operation,
    Rng,
    clamps,
    draw_records,
    draw_table,
    operation,
    region,
)

__all__ = ["MAKERS", "make_conv", "make_copy", "make_gemm", "make_pool", "make_vec"]

RESIDUAL_BYTES = 12


def _small(rng: Rng, low: int, high: int) -> int:
    return int(rng.integers(low, high + 1))


def make_conv(
    rng: Rng,
    arena: Arena,
    *,
    act: str = "random",
    weight: str = "random",
    records: str = "usual",
    mask_bits: str = "random",
    in_ring: bool | None = None,
    out_ring: bool | None = None,
    pitch: int | None = None,
    **fixed: int,
) -> Operation:
    """A CONV. Choices: contents, record style, `mask_bits` ("random", "none", "one"), rings, any field."""
    hw = arena.hw
    v: dict[str, int] = {
        "in_h": _small(rng, 1, 7),
        "in_w": _small(rng, 1, 9),
        "in_blocks": _small(rng, 1, 3),
        "in_zero": _small(rng, -128, 127),
        "kernel_h": _small(rng, 1, 4),
        "kernel_w": _small(rng, 1, 4),
        "stride_h": _small(rng, 1, 4),
        "stride_w": _small(rng, 1, 4),
        "dilation_h": _small(rng, 1, 2),
        "dilation_w": _small(rng, 1, 3),
        "pad_top": _small(rng, 0, 3),
        "pad_left": _small(rng, 0, 3),
        "out_h": _small(rng, 1, 4),
        "out_w": _small(rng, 1, 11),
        "out_blocks": _small(rng, 1, 3),
        "mask_mode": _small(rng, 0, 2),
        "mask_empty": _small(rng, 0, 1),
        "table_enable": _small(rng, 0, 3) == 0,
        "residual_enable": _small(rng, 0, 2) == 0,
        **clamps(rng),
        **fixed,
    }
    if v["mask_mode"] == 2:
        v["in_blocks"] = v["out_blocks"]
    v |= region(rng, arena, "in", v["in_h"], v["in_w"], v["in_blocks"], ring=in_ring, pitch=pitch)
    if v["residual_enable"]:
        v |= region(rng, arena, "res", v["out_h"], v["out_w"], v["out_blocks"])
    v |= region(rng, arena, "out", v["out_h"], v["out_w"], v["out_blocks"], ring=out_ring)
    live = v["in_blocks"] * v["out_blocks"] if v["mask_mode"] == 0 else v["out_blocks"]
    if v["mask_mode"] == 1:
        bits = _mask(rng, v["out_blocks"], v["in_blocks"], mask_bits)
        words = np.zeros((v["out_blocks"], hw.param_word_bytes * 8), np.uint8)
        words[:, : v["in_blocks"]] = bits
        v["mask_base"] = arena.put_params(np.packbits(words, axis=1, bitorder="little"))
        live = int(bits.sum())
    taps = v["kernel_h"] * v["kernel_w"]
    v["weight_base"] = arena.take_weight(max(1, live * taps)) if live else 0
    depth = taps * v["in_blocks"] * hw.block if v["mask_mode"] != 2 else taps * hw.block
    parts = draw_records(rng, v["out_blocks"] * hw.block, 74 * 74 * depth**0.5, records)
    tail = np.zeros(hw.param_word_bytes, np.uint8)
    tail[:RESIDUAL_BYTES] = np.frombuffer(_residual(rng).pack(), np.uint8)
    v["param_base"] = arena.put_params(np.concatenate([parts.reshape(-1), tail]))
    if v["table_enable"]:
        v["table_base"] = arena.put_params(draw_table(rng))
    return operation(rng, arena, make_packet("CONV", **v), act, weight)


def _mask(rng: Rng, rows: int, columns: int, kind: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    bits = rng.integers(0, 2, (rows, columns), dtype=np.uint8)
    if kind == "none":
        bits[:] = 0
    if kind == "one":
        bits[:] = 0
        bits[rows - 1, columns - 1] = 1
    return bits


def _residual(rng: Rng) -> numerics.ResidualRecord:
    lo, hi = (-128, 127) if rng.integers(0, 2) else (-10, 90)
    return numerics.ResidualRecord(
        a_mult=_small(rng, 0, (1 << 24) - 1),
        b_mult=_small(rng, 1 << 22, (1 << 24) - 1),
        shift=_small(rng, 22, 26),
        a_zero=_small(rng, -128, 127),
        b_zero=_small(rng, -128, 127),
        out_zero=_small(rng, -128, 127),
        lo=lo,
        hi=hi,
    )


def make_gemm(
    rng: Rng, arena: Arena, *, act: str = "random", weight: str = "random", records: str = "usual", **fixed: int
) -> Operation:
    """A GEMM. Choices: contents, record style, any field."""
    hw = arena.hw
    v: dict[str, int] = {
        "batch": _small(rng, 1, 3),
        "m": _small(rng, 1, 11),
        "k_blocks": _small(rng, 1, 4),
        "n_blocks": _small(rng, 1, 4),
        "scale_by": _small(rng, 0, 1),
        "table_enable": _small(rng, 0, 3) == 0,
        **clamps(rng),
        **fixed,
    }
    for side, blocks in (("in", v["k_blocks"]), ("out", v["n_blocks"])):
        pitch = v["m"] + _small(rng, 0, 3)
        stride = blocks * pitch + _small(rng, 0, 3)
        v |= {
            f"{side}_pitch": pitch,
            f"{side}_batch_stride": stride,
            f"{side}_base": arena.take_act(v["batch"] * stride),
        }
    count = v["n_blocks"] * v["k_blocks"]
    v["weight_batch_stride"] = int(rng.choice([0, count, count + 1]))
    v["weight_base"] = arena.take_weight((v["batch"] - 1) * v["weight_batch_stride"] + count)
    magnitude = 74 * 74 * (v["k_blocks"] * hw.block) ** 0.5
    v["param_base"] = arena.put_params(draw_records(rng, v["n_blocks"] * hw.block, magnitude, records))
    if v["table_enable"]:
        v["table_base"] = arena.put_params(draw_table(rng))
    return operation(rng, arena, make_packet("GEMM", **v), act, weight)


def make_pool(
    rng: Rng,
    arena: Arena,
    *,
    act: str = "random",
    in_ring: bool | None = None,
    out_ring: bool | None = None,
    **fixed: int,
) -> Operation:
    """A POOL. Choices: contents, rings, any field."""
    hw = arena.hw
    blocks = fixed.get("in_blocks", _small(rng, 1, 3))
    v: dict[str, int] = {
        "in_h": _small(rng, 1, 8),
        "in_w": _small(rng, 1, 9),
        "in_blocks": blocks,
        "in_zero": _small(rng, -128, 127),
        "channels": _small(rng, (blocks - 1) * hw.block + 1, blocks * hw.block),
        "mode": _small(rng, 0, 1),
        "count": _small(rng, 0, 1),
        "kernel_h": _small(rng, 1, 4),
        "kernel_w": _small(rng, 1, 4),
        "stride_h": _small(rng, 1, 4),
        "stride_w": _small(rng, 1, 4),
        "out_h": _small(rng, 1, 4),
        "out_w": _small(rng, 1, 6),
        **clamps(rng),
        **fixed,
    }
    # every window has a tap inside the input
    v["pad_top"] = fixed.get("pad_top", _small(rng, 0, v["kernel_h"] - 1))
    v["pad_left"] = fixed.get("pad_left", _small(rng, 0, v["kernel_w"] - 1))
    v["out_h"] = min(v["out_h"], (v["in_h"] - 1 + v["pad_top"]) // v["stride_h"] + 1)
    v["out_w"] = min(v["out_w"], (v["in_w"] - 1 + v["pad_left"]) // v["stride_w"] + 1)
    v |= region(rng, arena, "in", v["in_h"], v["in_w"], blocks, ring=in_ring)
    v |= region(rng, arena, "out", v["out_h"], v["out_w"], blocks, ring=out_ring)
    taps = np.arange(1, v["kernel_h"] * v["kernel_w"] + 1)
    parts = [numerics.scale_to_multiplier(float(np.float32(rng.uniform(0.5, 2)) / n)) for n in taps]
    v["param_base"] = arena.put_params(
        numerics.pack_records(rng.integers(-9, 9, taps.size), [m for m, _ in parts], [s for _, s in parts])
    )
    return operation(rng, arena, make_packet("POOL", **v), act)


def make_vec(
    rng: Rng,
    arena: Arena,
    *,
    act: str = "random",
    in_ring: bool | None = None,
    out_ring: bool | None = None,
    in_place: bool | None = None,
    **fixed: int,
) -> Operation:
    """A VEC. Choices: contents, rings, `in_place` (output = a), any field."""
    shift = fixed.get("shift", _small(rng, 15, 30))
    v: dict[str, int] = {
        "function": _small(rng, 0, 7),
        "b_kind": _small(rng, 0, 3),
        "b_scalar": _small(rng, -128, 127),
        "out_h": _small(rng, 1, 4),
        "out_w": _small(rng, 1, 9),
        "out_blocks": _small(rng, 1, 3),
        "a_zero": _small(rng, -128, 127),
        "b_zero": _small(rng, -128, 127),
        "a_mult": _small(rng, 0, (1 << 24) - 1),
        "b_mult": _small(rng, 0, (1 << 24) - 1),
        "shift": shift,
        "table_enable": _small(rng, 0, 3) == 0,
        **clamps(rng),
        **fixed,
    }
    rows, width, blocks = v["out_h"], v["out_w"], v["out_blocks"]
    v |= region(rng, arena, "a", rows, width, blocks, ring=in_ring)
    if v["b_kind"] != 3:
        v |= region(
            rng,
            arena,
            "b",
            1 if v["b_kind"] == 1 else rows,
            1 if v["b_kind"] == 1 else width,
            1 if v["b_kind"] == 2 else blocks,
        )
    if _small(rng, 0, 3) == 0 if in_place is None else in_place:
        v |= {f"out_{k}": v[f"a_{k}"] for k in ("base", "row_stride", "pitch", "ring", "slot")}
    else:
        v |= region(rng, arena, "out", rows, width, blocks, ring=out_ring)
    if v["table_enable"]:
        v["table_base"] = arena.put_params(draw_table(rng))
    return operation(rng, arena, make_packet("VEC", **v), act)


def make_copy(
    rng: Rng, arena: Arena, *, in_ring: bool | None = None, out_ring: bool | None = None, **fixed: int
) -> Operation:
    """An on-chip COPY (act_to_act or fill_act); the other moves are in every program (see programs.py)."""
    inside = [MOVES.index("act_to_act"), MOVES.index("fill_act")]
    v: dict[str, int] = {
        "move": int(rng.choice(inside)),
        "n0": _small(rng, 1, 9),
        "n1": _small(rng, 1, 3),
        "n2": _small(rng, 1, 4),
        "n3": _small(rng, 1, 2),
        "pad": _small(rng, -128, 127),
        **fixed,
    }
    for side, name, ring in (("a", "src", in_ring), ("b", "dst", out_ring)):
        first = arena.act
        r = region(rng, arena, side, v["n2"], v["n0"], v["n1"], ring=ring)
        size = arena.act - first
        arena.take_act(size * (v["n3"] - 1))
        v |= {
            name: r[f"{side}_base"],
            f"{name}_stride1": r[f"{side}_pitch"],
            f"{name}_stride2": r[f"{side}_row_stride"],
            f"{name}_stride3": size,
            f"{name}_ring": r[f"{side}_ring"] if r[f"{side}_slot"] else 0,
            f"{name}_slot": r[f"{side}_slot"],
        }
    if v["move"] == MOVES.index("fill_act"):
        v |= {k: 0 for k in v if k.startswith("src")}
    return operation(rng, arena, make_packet("COPY", **v))


MAKERS: dict[str, Callable[..., Operation]] = {
    "CONV": make_conv,
    "GEMM": make_gemm,
    "COPY": make_copy,
    "POOL": make_pool,
    "VEC": make_vec,
}
