"""LRN (local response normalization): refused, with the reason."""

from __future__ import annotations

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.model.reading import attribute

__all__ = ["SPEC"]


def is_not_computed(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """It divides by a power of a sum of squares over channels, which 8-bit tensors do not hold; replace it by
    BatchNormalization (networks since 2015 do) or remove it and retrain.
    """
    return RuleResult(False, f"size {attribute(node, 'size', 1)}")


SPEC = OpSpec("LRN", "Refused.", rules=(is_not_computed,), quantize=False)
