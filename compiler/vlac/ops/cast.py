"""Cast between floating-point types: no instruction, the integers stay what they are."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.ops.spec import RuleResult
from vlac.ops.views import view

__all__ = ["SPEC"]

_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)


def is_between_floats(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Both types must be float32, float16 or float64."""
    types = [v.dtype for v in (node.inputs[0], node.outputs[0]) if v is not None]
    return RuleResult(all(t in _FLOATS for t in types), " to ".join(str(t) for t in types))


SPEC = replace(view("Cast"), rules=(is_between_floats,), quantize_result=False)
