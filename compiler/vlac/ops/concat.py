"""Concat of channels: no instruction, the producers write into channel slices of one region."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vla_isa.numerics import INT8_MAX, INT8_MIN
from vlac.ir.graph import ConcatOp, Tensor
from vlac.ops.spec import OpSpec, RuleResult, attribute, shape_of

if TYPE_CHECKING:
    from vlac.legalize.lowering import Lowering

__all__ = ["SPEC"]


def is_along_channels(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The axis must be the channels: 1 of an image [1, C, H, W], else the last one."""
    rank = len(shape_of(node.outputs[0]))
    axis = attribute(node, "axis", 0) % rank
    return RuleResult(rank <= 4 and axis == (1 if rank == 4 else rank - 1), f"axis {axis} of rank {rank}")


def _lower(low: Lowering, node: ir.Node) -> None:
    sources = [low.operand(node, i) for i in range(len(node.inputs))]
    out = low.result(node)
    parts = []
    for index, (source, value) in enumerate(zip(sources, node.inputs, strict=True)):
        same = (source.scale, source.zero_point) == (out.tensor.scale, out.tensor.zero_point)
        if same and source.constant is None and (out.lo, out.hi) == (INT8_MIN, INT8_MAX):
            parts.append(source)
            continue
        part = Tensor(
            f"{out.tensor.name}:{index}",
            f"{out.tensor.label}:{index}",
            shape_of(value),
            out.tensor.scale,
            out.tensor.zero_point,
            unsigned=out.tensor.unsigned,
        )
        low.requantized(source, part, out.label, "Concat", out.lo, out.hi)
        parts.append(part)
    low.graph.ops.append(ConcatOp(out.label, "Concat", parts, out.tensor))


SPEC = OpSpec(
    "Concat",
    "No instruction: producers write into slices of one region, each on a new channel block.",
    rules=(is_along_channels,),
    lower=_lower,
)
