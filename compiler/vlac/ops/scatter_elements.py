"""ScatterElements: the gates of a mixture of experts, whose shares it puts into zeros."""

from __future__ import annotations

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.lowering.context import LoweringContext
from vlac.lowering.gates import gates_fit, lower_gates
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.model.gates import gates_of

__all__ = ["SPEC"]


def is_gates(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """It must put the shares of a TopK along the last axis into zeros, where the TopK's indices say: the gates of a
    mixture.
    """
    sources = [v.producer() for v in node.inputs if v is not None]
    made = [n.op_type for n in sources if n is not None]
    return RuleResult(gates_of(node) is not None, f"operands of {' and '.join(made) or 'no node'}")


def _lower(low: LoweringContext, node: ir.Node) -> None:
    gates = gates_of(node)
    assert gates is not None
    lower_gates(low, gates)


SPEC = OpSpec(
    "ScatterElements",
    "The gates of a mixture, with its TopK and Softmax: REDUCE, ROW, RECIP.",
    rules=(is_gates, gates_fit),
    lower=_lower,
)
