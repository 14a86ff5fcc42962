"""Cast between floating-point types: no instruction, the integers stay what they are."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.lowering.spec import RuleResult
from vlac.lowering.views import view
from vlac.model.labels import node_label

__all__ = ["SPEC"]

_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)


def is_between_floats(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Both types must be float32, float16 or float64."""
    types = [v.dtype for v in (node.inputs[0], node.outputs[0]) if v is not None]
    return RuleResult(all(t in _FLOATS for t in types), " to ".join(str(t) for t in types))


def is_at_the_end(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """What is not float32 must be a model output or be cast again at once."""
    value = node.outputs[0]
    readers = [] if value.dtype == ir.DataType.FLOAT else [u for u in value.consumers() if u.op_type != "Cast"]
    found = "" if not readers else f"{value.dtype} in front of {readers[0].op_type} '{node_label(readers[0])}'"
    return RuleResult(not readers, found)


SPEC = replace(view("Cast"), rules=(is_between_floats, is_at_the_end), quantize_result=False)
