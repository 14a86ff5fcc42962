"""TopK: in the gates of a mixture of experts, a part of them."""

from __future__ import annotations

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.model.gates import gates_of

__all__ = ["SPEC"]


def is_of_gates(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """It must choose the experts of a mixture: the largest along the last axis, of a Softmax or in front of one, put by
    ScatterElements into zeros, or multiplied by OneHot or Equal of the indices. For one index use ArgMax; other values
    and indices are for the host (--allow-host), or for what reads the model's outputs.
    """
    readers = [u.op_type for v in node.outputs for u in v.consumers()]
    return RuleResult(gates_of(node) is not None, f"read by {' and '.join(sorted(set(readers))) or 'nothing'}")


SPEC = OpSpec("TopK", "In the gates of a mixture: REDUCE.", rules=(is_of_gates,), quantize_result=False)
