"""T1: one case per thing that can go wrong in an instruction, built by the makers with that thing pinned."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np

from vla_isa.generated.codes import (
    BKind,
    MaskEmpty,
    MaskMode,
    Move,
    PoolCount,
    PoolMode,
    Rounding,
    ScaleBy,
    VecFunction,
)
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.vec import VEC
from vla_isa.integer import INT8
from vla_isa.operands import Arena
from vlarun.conformance import attention_cases, directed_rows, limit_cases, limit_moves, loop_cases, machine_cases
from vlarun.conformance.operations import make_operation
from vlarun.conformance.programs import Case, operation_program

__all__ = ["DIRECTED", "cases"]

Choices = dict[str, Any]
FULL: Choices = {"lo": INT8.lo, "hi": INT8.hi}  # no clamp besides that of the type
PLAIN: Choices = {"mask_mode": MaskMode.DENSE, "table_enable": 0, "residual_enable": 0}
NARROW: Choices = {"h": 1, "out_bytes": 0, "scale_by": ScaleBy.COLUMN}
ONE: Choices = {
    "kernel_h": 1,
    "kernel_w": 1,
    "stride_h": 1,
    "stride_w": 1,
    "pad_top": 0,
    "pad_left": 0,
    "dilation_h": 1,
    "dilation_w": 1,
}


def cases(hw: HardwareConfig) -> Iterator[Case]:
    """All T1 cases of a config; the same ids on every one."""
    for name, directed in DIRECTED.items():
        for what, choices in directed(hw):
            case_id = f"T1.{name.lower()}.{what}"
            rng = np.random.default_rng(zlib.crc32(case_id.encode()))
            yield Case(case_id, operation_program([make_operation(name, rng, Arena(hw), **choices)]))
    yield from machine_cases.cases(hw)
    yield from loop_cases.cases(hw)
    yield from attention_cases.cases(hw)
    yield from limit_cases.cases(hw)
    yield from limit_moves.cases(hw)


def _conv(hw: HardwareConfig) -> Iterator[tuple[str, Choices]]:
    for side in ("pad_top", "pad_left"):
        for pad in (1, 3, 14):
            yield f"padding.{side}.{pad}", PLAIN | {side: pad, "kernel_h": 4, "kernel_w": 3}
    yield "padding.below", PLAIN | ONE | {"in_h": 2, "out_h": 5}
    yield "padding.right", PLAIN | ONE | {"in_w": 3, "out_w": 9}
    yield "padding.everything", PLAIN | {"in_h": 1, "in_w": 1, "pad_top": 200, "pad_left": 200}
    for stride in (1, 2, 3, 4):
        yield f"stride.h{stride}", PLAIN | {"stride_h": stride, "in_h": 11, "out_h": 3}
        yield f"stride.w{stride}", PLAIN | {"stride_w": stride, "in_w": 19, "out_w": 9}
    yield (
        "dilation.large",
        PLAIN
        | {
            "dilation_h": 31,
            "dilation_w": 31,
            "kernel_h": 2,
            "kernel_w": 2,
            "in_h": 40,
            "in_w": 40,
            "in_blocks": 1,
            "out_h": 4,
            "out_w": 5,
        },
    )
    yield "dilation.of.one.row", PLAIN | ONE | {"dilation_h": 5, "dilation_w": 7}
    for kernel in ((1, 1), (1, 15), (15, 1), (7, 7), (15, 15)):
        yield (
            f"kernel.{kernel[0]}x{kernel[1]}",
            PLAIN
            | {
                "kernel_h": kernel[0],
                "kernel_w": kernel[1],
                "in_blocks": 1,
                "out_blocks": 1,
                "in_h": 9,
                "in_w": 9,
                "pad_top": kernel[0] // 2,
                "pad_left": kernel[1] // 2,
                "dilation_h": 1,
                "dilation_w": 1,
            },
        )
    for width in (1, 3, 4, 5, 7, 8, 9, 15, 16, 17):
        yield f"width.{width}", PLAIN | ONE | {"in_w": width, "out_w": width, "in_h": 3, "out_h": 3}
    yield (
        "row.ends.inside.a.strip",
        PLAIN | {"out_h": 4, "out_w": 3, "in_h": 6, "in_w": 5, "stride_h": 1, "stride_w": 1},
    )
    yield "ring.input", PLAIN | {"in_ring": True, "in_h": 6}
    yield "ring.output", PLAIN | {"out_ring": True, "out_h": 4}
    yield "ring.both", PLAIN | {"in_ring": True, "out_ring": True, "in_h": 5, "out_h": 4}
    for pitch in (16, 20, 24, 32):
        yield f"pitch.{pitch}", PLAIN | {"pitch": pitch, "in_w": 9, "in_h": 4, "in_blocks": 3}
    yield from _conv_values(hw)
    yield from _conv_options(hw)


def _conv_values(hw: HardwareConfig) -> Iterator[tuple[str, Choices]]:
    for rounding in Rounding:
        name = rounding.name.lower()
        yield f"rounding.{name}", PLAIN | {"rounding": rounding, "out_w": 11, "out_h": 4, **FULL}
        yield (
            f"rounding.extreme.records.{name}",
            PLAIN | {"rounding": rounding, "records": "extreme", **FULL, "out_blocks": 3},
        )
    for act in ("low", "high", "edges"):
        for weight in ("low", "high", "edges"):
            yield f"extreme.{act}.{weight}", PLAIN | {"act": act, "weight": weight, "in_blocks": 3}
    yield "saturation", PLAIN | {"lo": -3, "hi": 5, "records": "usual"}
    yield "clamp.crossed", PLAIN | {"lo": 20, "hi": -20}
    for zero in (INT8.lo, 0, INT8.hi):
        yield (
            f"zero.point.in.{zero}",
            PLAIN | {"in_zero": zero, "pad_top": 1, "pad_left": 1, "kernel_h": 3, "kernel_w": 3},
        )
        yield f"zero.point.out.{zero}", PLAIN | {"out_zero": zero}


def _conv_options(hw: HardwareConfig) -> Iterator[tuple[str, Choices]]:
    for bits in ("random", "none", "one"):
        for empty in MaskEmpty:
            yield (
                f"mask.{bits}.empty{int(empty)}",
                PLAIN
                | {
                    "mask_mode": MaskMode.MASK,
                    "mask_bits": bits,
                    "mask_empty": empty,
                    "in_blocks": 3,
                    "out_blocks": 3,
                    "out_zero": 9,
                },
            )
    yield (
        "mask.wide",
        PLAIN
        | ONE
        | {"mask_mode": MaskMode.MASK, "in_blocks": 40, "out_blocks": 2, "in_h": 1, "in_w": 3, "out_h": 1, "out_w": 3},
    )
    yield "depthwise", PLAIN | {"mask_mode": MaskMode.DIAGONAL, "out_blocks": 3}
    yield "depthwise.one.block", PLAIN | {"mask_mode": MaskMode.DIAGONAL, "out_blocks": 1, "kernel_h": 3, "kernel_w": 3}
    yield "table", PLAIN | {"table_enable": 1}
    yield "residual", PLAIN | {"residual_enable": 1}
    yield "table.and.residual", PLAIN | {"table_enable": 1, "residual_enable": 1}
    yield (
        "residual.mask.empty",
        PLAIN | {"residual_enable": 1, "mask_mode": MaskMode.MASK, "mask_bits": "none", "mask_empty": MaskEmpty.ZERO},
    )
    for rounding in Rounding:
        name = rounding.name.lower()
        yield f"residual.rounding.{name}", PLAIN | {"residual_enable": 1, "rounding": rounding, "out_w": 11}
    # the deepest sum the weight scratchpad allows: on `u50` 131,072 * 2^14 = 2^31, which wraps
    yield (
        "accumulator.extreme",
        PLAIN
        | ONE
        | {
            "act": "low",
            "weight": "low",
            "kernel_h": 8,
            "kernel_w": 8,
            "in_blocks": hw.weight_words // 64,
            "out_blocks": 1,
            "in_h": 2,
            "in_w": 2,
            "in_zero": INT8.lo,
            "out_h": 1,
            "out_w": 1,
            "pad_top": 3,
            "pad_left": 3,
        },
    )
    yield "many.blocks", PLAIN | ONE | {"in_blocks": 17, "out_blocks": 17, "in_h": 2, "in_w": 4, "out_h": 2, "out_w": 4}


def _gemm(hw: HardwareConfig) -> Iterator[tuple[str, Choices]]:
    for m in (1, 3, 4, 5, 8, 9, 17):
        yield f"m.{m}", {"m": m}
    for scale_by in (ScaleBy.COLUMN, ScaleBy.TENSOR):
        yield f"scale.by.{int(scale_by)}", {"scale_by": scale_by, "n_blocks": 3}
    for batch in (1, 2, 5):
        yield f"batch.{batch}", {"batch": batch}
    yield "table", {"table_enable": 1}
    yield "one.block", {"k_blocks": 1, "n_blocks": 1, "m": 1, "batch": 1}
    yield "deep", {"k_blocks": 60, "n_blocks": 2, "m": 2, "batch": 1}
    yield "wide", {"k_blocks": 2, "n_blocks": 60, "m": 2, "batch": 1}
    for rounding in Rounding:
        name = rounding.name.lower()
        yield f"rounding.{name}", {"rounding": rounding, "m": 11, **FULL, "table_enable": 0}
    for act in ("low", "high"):
        for weight in ("low", "high"):
            yield f"extreme.{act}.{weight}", {"act": act, "weight": weight, "k_blocks": 4, "records": "extreme"}


def _pool(hw: HardwareConfig) -> Iterator[tuple[str, Choices]]:
    for mode in PoolMode:
        kind = mode.name.lower()
        for kernel in (1, 2, 3, 5):
            yield (
                f"{kind}.kernel.{kernel}",
                {"mode": mode, "kernel_h": kernel, "kernel_w": kernel, "in_h": 9, "in_w": 9},
            )
        for stride in (1, 2, 4, 15):
            yield (
                f"{kind}.stride.{stride}",
                {"mode": mode, "stride_h": stride, "stride_w": stride, "in_h": 16, "in_w": 17, "out_h": 3, "out_w": 4},
            )
        yield f"{kind}.padding", {"mode": mode, "kernel_h": 3, "kernel_w": 4, "pad_top": 2, "pad_left": 3, "in_h": 3}
        yield f"{kind}.below.and.right", {"mode": mode, "kernel_h": 4, "kernel_w": 4, "in_h": 3, "in_w": 3}
        yield (
            f"{kind}.global",
            {
                "mode": mode,
                "count": PoolCount.FIXED,
                "kernel_h": 7,
                "kernel_w": 9,
                "in_h": 7,
                "in_w": 9,
                "out_h": 1,
                "out_w": 1,
                "pad_top": 0,
                "pad_left": 0,
            },
        )
        yield f"{kind}.channels", {"mode": mode, "in_blocks": 2, "channels": 9, "out_zero": 17}
        yield f"{kind}.rings", {"mode": mode, "in_ring": True, "out_ring": True, "in_h": 6, "out_h": 3}
        for act in ("low", "high"):
            yield (
                f"{kind}.extreme.{act}",
                {"mode": mode, "act": act, "kernel_h": 4, "kernel_w": 4, "in_h": 8, "in_w": 8},
            )
    yield from _pool_averages()
    yield "max.ignores.clamp", {"mode": PoolMode.MAX, "lo": 0, "hi": 0}


def _pool_averages() -> Iterator[tuple[str, Choices]]:
    for rounding in Rounding:
        name = rounding.name.lower()
        yield (
            f"average.rounding.{name}",
            {
                "mode": PoolMode.AVERAGE,
                "rounding": rounding,
                "kernel_h": 2,
                "kernel_w": 3,
                "in_h": 8,
                "in_w": 9,
                "out_w": 6,
                **FULL,
            },
        )
    for count in PoolCount:
        yield (
            f"average.count.{int(count)}",
            {
                "mode": PoolMode.AVERAGE,
                "count": count,
                "kernel_h": 3,
                "kernel_w": 3,
                "pad_top": 1,
                "pad_left": 1,
                "in_h": 5,
                "in_w": 5,
                "stride_h": 1,
                "stride_w": 1,
                "out_h": 5,
            },
        )


def _vec(hw: HardwareConfig) -> Iterator[tuple[str, Choices]]:
    for function in VecFunction:
        name = function.name.lower()
        for kind in BKind:
            yield f"{name}.b{int(kind)}", {"function": function, "b_kind": kind, "table_enable": 0}
        yield f"{name}.table", {"function": function, "table_enable": 1}
        yield (
            f"{name}.extreme",
            {
                "function": function,
                "b_kind": BKind.TENSOR,
                "act": "edges",
                "a_mult": VEC.limit("a_mult"),
                "b_mult": VEC.limit("a_mult"),
                "shift": 24,
                **FULL,
            },
        )
        for rounding in Rounding:
            mode = rounding.name.lower()
            yield (
                f"{name}.rounding.{mode}",
                {"function": function, "rounding": rounding, **FULL, "out_w": 9, "out_h": 4},
            )
    for shift in (0, 1, 24, 47, 63):
        yield f"shift.field.{shift}", {"shift": shift, **FULL}
    yield "table", {"table_enable": 1}
    yield "in.place", {"in_place": True}
    yield "rings", {"in_ring": True, "out_ring": True, "in_place": False, "out_h": 4}
    for width in (1, 2, 3, 7, 8):
        yield f"width.{width}", {"out_w": width}


def _copy(hw: HardwareConfig) -> Iterator[tuple[str, Choices]]:
    for move in (Move.ACT_TO_ACT, Move.FILL_ACT):
        name = move.name.lower()
        yield f"{name}.plain", {"move": move, "n3": 1, "in_ring": False, "out_ring": False}
        yield f"{name}.four.dimensions", {"move": move, "n0": 5, "n1": 3, "n2": 4, "n3": 3}
        yield f"{name}.rings", {"move": move, "in_ring": True, "out_ring": True, "n2": 4}
        for words in (1, 2, 3, 15, 16, 17, 33):
            yield f"{name}.run.{words}", {"move": move, "n0": words, "n1": 1, "n2": 2}
        for count in ("n0", "n1", "n2", "n3"):
            yield f"{name}.zero.{count}", {"move": move, count: 0}
    for pad in (INT8.lo, INT8.hi):
        yield f"fill_act.pad.{pad}", {"move": Move.FILL_ACT, "pad": pad}


DIRECTED: dict[str, Callable[[HardwareConfig], Iterator[tuple[str, Choices]]]] = {
    "CONV": _conv,
    "GEMM": lambda hw: chain(((what, NARROW | c) for what, c in _gemm(hw)), directed_rows.wide_gemm(hw)),
    "POOL": _pool,
    "VEC": _vec,
    "ROW": directed_rows.row,
    "REDUCE": directed_rows.reduce,
    "RECIP": directed_rows.recip,
    "GATHER": directed_rows.gather,
    "COPY": lambda hw: chain(_copy(hw), directed_rows.squares(hw)),
}
