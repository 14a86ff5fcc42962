"""Dropout: no instruction at inference."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.lowering.spec import RuleResult
from vlac.lowering.views import view
from vlac.model.reading import constant_input

__all__ = ["SPEC"]


def is_inference(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """It must be in inference mode: training_mode absent or constant and false."""
    given = len(node.inputs) > 2 and node.inputs[2] is not None
    mode = constant_input(node, 2)
    ok = not given or (mode is not None and not mode.any())
    return RuleResult(ok, f"{'a computed' if mode is None else 'a true'} training_mode")


SPEC = replace(view("Dropout"), rules=(is_inference,))
