"""Check every node against its operator's rules and report all refusals at once."""

from __future__ import annotations

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.errors import UnsupportedError
from vlac.ops import BY_NAME
from vlac.ops.quantized import node_label
from vlac.ops.spec import is_constant, rule_text

__all__ = ["check_support", "refusals"]


def check_support(model: ir.Model, hw: HardwareConfig) -> None:
    """Refuse a model with nodes that break a rule.

    Raises:
        UnsupportedError: every refused node with the rule it breaks and what was found.
    """
    found = refusals(model, hw)
    if found:
        raise UnsupportedError(found.values(), nodes=found)


def refusals(model: ir.Model, hw: HardwareConfig) -> dict[str, str]:
    """The nodes that break a rule: label -> the rule and what was found."""
    reasons = {}
    for node in model.graph:
        if node.outputs and is_constant(node.outputs[0]):
            continue
        reason = _reason(node, hw)
        if reason:
            reasons[node_label(node)] = reason
    return reasons


def _reason(node: ir.Node, hw: HardwareConfig) -> str | None:
    spec = BY_NAME.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    where = f"{node.op_type} '{node_label(node)}'"
    if spec is None:
        return f"{where}: {_unknown(node.op_type)}"
    for rule in spec.rules:
        result = rule(node, hw)
        if not result.ok:
            return f"{where} cannot run on '{hw.name}': {rule_text(rule, hw)} Found {result.found}."
    return None


def _unknown(operator: str) -> str:
    """What to do about an operator without a spec."""
    if operator.startswith("QLinear"):
        return "this is the QOperator format; quantize with QuantFormat.QDQ, or compile the float model."
    if operator.endswith("Integer") or operator == "DynamicQuantizeLinear":
        return "dynamic quantization has no fixed scales; quantize statically, or compile the float model."
    return "the operator is not supported; 'vlac ops' lists those that are."
