"""Functions at the end of a model that the host does when it dequantizes the output: Softmax, ArgMax and the like.

The device stops at the tensor in front of them; `host_nodes` gives them, and what is behind them, to the host
before they would be lowered. Not here: the functions themselves (`vla_isa.host_functions`).
"""

from __future__ import annotations

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.lowering.host_graph import is_convertible
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.model.reading import computed_inputs

__all__ = ["final", "is_final"]

_SUMMARY = "On the host with the dequantization of the output: the device stops in front of it."


def is_final(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Nothing but moves, element by element functions with constants, Concat and ArgMax may follow, up to the model's
    outputs: the device has no such function in the middle of a model.
    """
    waiting = [node]
    while waiting:
        for user in (user for value in waiting.pop().outputs for user in value.consumers()):
            if not is_convertible(user) or (len(set(computed_inputs(user))) > 1 and user.op_type != "Concat"):
                return RuleResult(False, f"{user.op_type} '{user.name or user.outputs[0].name}' behind it")
            waiting.append(user)
    return RuleResult(True, "")


def final(name: str) -> OpSpec:
    """The spec of such a function."""
    return OpSpec(name, _SUMMARY, rules=(is_final,), quantize_result=False)
