"""BatchNormalization: removed by a rewrite (into the layer before it, a depthwise 1x1 Conv, or Mul and Add)."""

from __future__ import annotations

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.ops.spec import OpSpec, RuleResult

__all__ = ["SPEC"]


def is_folded(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """It must be in a float model, in inference mode and with constant statistics."""
    return RuleResult(False, "a BatchNormalization that cannot be folded")


SPEC = OpSpec(
    "BatchNormalization",
    "Folded into the layer before it, or a depthwise 1x1 CONV; of what is no image, Mul and Add.",
    rules=(is_folded,),
    quantize=False,
)
