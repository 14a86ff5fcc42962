"""BatchNormalization: removed by a rewrite (into the layer before it, a depthwise 1x1 Conv, or Mul and Add)."""

from __future__ import annotations

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.model.reading import attribute, input_name, is_constant

__all__ = ["SPEC"]


def is_folded(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """It must be in a float model, in inference mode and with constant statistics."""
    computed = [input_name(node, i) for i in range(1, 5) if not is_constant(node.inputs[i])]
    found = f"computed {', '.join(computed)}" if computed else "a quantized model; fold it before quantizing"
    return RuleResult(False, "training_mode 1" if attribute(node, "training_mode", 0) else found)


SPEC = OpSpec(
    "BatchNormalization",
    "Folded into the layer before it, or a depthwise 1x1 CONV; of what is no image, Mul and Add.",
    rules=(is_folded,),
    quantize=False,
)
