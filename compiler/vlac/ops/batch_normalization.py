"""BatchNormalization: always removed by a rewrite (into the layer before it, or into a depthwise 1x1 Conv)."""

from __future__ import annotations

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.ops.spec import OpSpec, RuleResult

__all__ = ["SPEC"]


def is_folded(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """It must follow a Conv or Gemm, or act on an image [1, C, H, W], in a float model and with constant statistics."""
    return RuleResult(False, "a BatchNormalization that cannot be folded")


SPEC = OpSpec(
    "BatchNormalization",
    "Folded into the layer before it, or a depthwise 1x1 CONV.",
    rules=(is_folded,),
    quantize=False,
)
