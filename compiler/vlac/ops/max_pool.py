"""MaxPool: the POOL instruction on the integers themselves; a change of scale behind it is a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.ir.graph import PoolOp, PoolPiece, Tensor
from vlac.ops.pooling import WINDOW_RULES, window
from vlac.ops.spec import OpSpec, RuleResult, shape_of

if TYPE_CHECKING:
    from vlac.legalize.lowering import Lowering

__all__ = ["SPEC"]


def has_one_result(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The second output (indices) must be unused."""
    used = len(node.outputs) > 1 and bool(node.outputs[1].consumers())
    return RuleResult(not used, "indices used")


def _lower(low: Lowering, node: ir.Node) -> None:
    x = low.moved_operand(node)
    target, label = low.passthrough(node)
    kernel, strides, pads = window(node)
    pooled = target
    if target is None or (target.scale, target.zero_point) != (x.scale, x.zero_point):
        name = f"{node.outputs[0].name}:pooled"
        pooled = Tensor(
            name, node.outputs[0].name or name, shape_of(node.outputs[0]), x.scale, x.zero_point, unsigned=x.unsigned
        )
    assert pooled is not None
    none = np.zeros(0, np.int64)
    pieces = [PoolPiece(0, pooled.h, 0, pooled.w, kernel, 0)]
    low.graph.ops.append(
        PoolOp(
            label, "MaxPool", [x], pooled, "max", kernel, strides, pads[:2], pieces, "fixed", (none, none), x.zero_point
        )
    )
    if target is None:
        low.values[node.outputs[0]] = pooled
    elif target is not pooled:
        low.requantized(pooled, target, label, "MaxPool")


SPEC = OpSpec(
    "MaxPool",
    "POOL on the integers; a table behind it where the scale changes.",
    rules=(*WINDOW_RULES, has_one_result),
    lower=_lower,
)
