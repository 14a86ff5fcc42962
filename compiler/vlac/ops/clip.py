"""Clip with constant bounds: the clamp or the table of the operator before it, or VEC with a table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.lowering.spec import F32, RuleResult
from vlac.lowering.unary import unary
from vlac.model.reading import constant_input, input_name

__all__ = ["SPEC"]


def bounds_are_constant(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The bounds must be constants."""
    given = [i for i in (1, 2) if i < len(node.inputs) and node.inputs[i] is not None]
    computed = [input_name(node, i) for i in given if constant_input(node, i) is None]
    return RuleResult(not computed, f"computed {' and '.join(computed)}")


def _function(node: ir.Node, x: F32) -> F32:
    low, high = constant_input(node, 1), constant_input(node, 2)
    x = x if low is None else np.maximum(x, np.float32(low))
    return x if high is None else np.minimum(x, np.float32(high))


_SPEC = unary("Clip", _function)
SPEC = replace(
    _SPEC,
    summary="The clamp or the table of the layer before it, or VEC with a table.",
    rules=(bounds_are_constant, *_SPEC.rules),
)
