"""Pad of rows and pixels with a constant: into the convolution behind it, or fill and copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vla_isa.numerics import INT8_MAX, INT8_MIN, quantize
from vlac.ir.graph import CopyOp, Tensor
from vlac.ops.spec import OpSpec, RuleResult, attribute, constant_input, shape_of

if TYPE_CHECKING:
    from vlac.legalize.lowering import Lowering

__all__ = ["SPEC", "pad_amounts"]


def pad_amounts(node: ir.Node) -> list[int] | None:
    """Padding of every axis, all starts and then all ends, or None where it is computed."""
    pads, axes = constant_input(node, 1), constant_input(node, 3)
    rank = len(shape_of(node.inputs[0]))
    if pads is None or (axes is None and len(node.inputs) > 3 and node.inputs[3] is not None):
        return None
    full = [0] * (2 * rank)
    chosen = list(range(rank)) if axes is None else [int(a) % rank for a in axes]
    for i, a in enumerate(chosen):
        full[a], full[rank + a] = int(pads[i]), int(pads[i + len(chosen)])
    return full


def is_constant_mode(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The mode must be constant."""
    mode = attribute(node, "mode", "constant")
    return RuleResult(mode == "constant", f"mode {mode}")


def pads_space(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Padding must be constant, at least 0, and on the rows and pixels of an image [1, C, H, W] only."""
    pads = pad_amounts(node)
    rank = len(shape_of(node.inputs[0]))
    ok = pads is not None and rank == 4 and min(pads) >= 0 and not any(pads[i] for i in (0, 1, 4, 5))
    return RuleResult(ok, f"pads {pads} of rank {rank}")


def _lower(low: Lowering, node: ir.Node) -> None:
    x, pads = low.operand(node, 0), pad_amounts(node)
    assert pads is not None
    out = low.result(node)
    target = out.tensor
    clamped = (out.lo, out.hi) != (INT8_MIN, INT8_MAX)
    if clamped or (x.scale, x.zero_point) != (target.scale, target.zero_point):
        changed = Tensor(
            f"{target.name}:scaled", target.label, x.shape, target.scale, target.zero_point, unsigned=target.unsigned
        )
        low.requantized(x, changed, out.label, "Pad", out.lo, out.hi)
        x = changed
    value = constant_input(node, 2)
    real = np.zeros(1, np.float32) if value is None else value.reshape(-1)[:1].astype(np.float32)
    fill = int(np.clip(quantize(real, target.scale, target.zero_point)[0], out.lo, out.hi))
    low.graph.ops.append(CopyOp(out.label, "Pad", [x], target, pads[2], pads[3], fill))


SPEC = OpSpec(
    "Pad",
    "Into the padding of the convolution or pool behind it; else COPY (fill, then move).",
    rules=(is_constant_mode, pads_space),
    lower=_lower,
)
