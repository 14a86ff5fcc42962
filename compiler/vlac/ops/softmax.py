"""Softmax at the end of a model: the host does it with the dequantization of the output; in gates, a part of them."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.lowering.final import final, is_final
from vlac.lowering.spec import RuleResult
from vlac.model.gates import gates_of

__all__ = ["SPEC"]


def is_final_or_of_gates(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Nothing but moves, element by element functions with constants, Concat and ArgMax may follow, up to the model's
    outputs: the device has no such function in the middle of a model, but in attention and in the gates of a mixture of
    experts, with a TopK.
    """
    return RuleResult(True, "") if gates_of(node) is not None else is_final(node, hw)


_FINAL = final("Softmax")
SPEC = replace(
    _FINAL,
    summary=f"{_FINAL.summary} In the gates of a mixture: ROW.",
    rules=(is_final_or_of_gates,),
)
