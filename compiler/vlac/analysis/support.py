"""Check every node against its operator's rules, and its values against what the machine computes with.

The machine computes with real numbers, or the 8-bit integers of QuantizeLinear; truth values and indices exist where
a node of the machine makes them, for those behind it. What a program's host computes in front of the machine and
behind it (`host_nodes.py`) has no rules of its own. All refusals are reported at once.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.analysis.chains import is_table
from vlac.analysis.host_nodes import prefix_nodes, suffix_nodes
from vlac.errors import Refusal, UnsupportedError
from vlac.lowering.host_graph import NUMBERS
from vlac.lowering.spec import rule_text
from vlac.model.gates import is_inside_gates
from vlac.model.labels import node_label
from vlac.model.reading import computed_inputs, dtype_of, is_constant
from vlac.ops import BY_NAME

__all__ = ["check_support", "refusals"]

_NUMBERS = (ir.DataType.FLOAT, ir.DataType.INT8, ir.DataType.UINT8)


def check_support(model: ir.Model, hw: HardwareConfig) -> None:
    """Refuse a model with nodes that break a rule.

    Raises:
        UnsupportedError: every refused node with the rule it breaks and what was found.
    """
    found = refusals(model, hw)
    if found:
        raise UnsupportedError(found.values())


def refusals(model: ir.Model, hw: HardwareConfig) -> dict[str, Refusal]:
    """The nodes that break a rule: label -> the rule and what was found."""
    found: dict[ir.Node, Refusal] = {}
    prefix = prefix_nodes(model)
    on_host = prefix | suffix_nodes(model)
    for node in model.graph:
        if node.outputs and is_constant(node.outputs[0]):
            continue
        refusal = _foreign_input(node, found) if node in on_host else None
        if node not in on_host:
            refusal = _broken_rule(node, hw) or _foreign_input(node, {None, *prefix, *found})
        if refusal:
            found[node] = refusal
    for node in reversed(list(model.graph)):
        readers = [u for v in node.outputs if v.dtype not in _NUMBERS for u in v.consumers() if u in found]
        if readers and node not in found:
            text = f"its result, {_kind(node.outputs[0])}, is read by {readers[0].op_type}, which is refused."
            found[node] = Refusal(node.op_type, node_label(node), text)
    return {node_label(n): found[n] for n in model.graph if n in found}


def _broken_rule(node: ir.Node, hw: HardwareConfig) -> Refusal | None:
    op, label = node.op_type, node_label(node)
    if node.domain not in ("", "ai.onnx"):
        return Refusal(op, label, f"the operator is not supported (domain {node.domain}).")
    if op != "TopK" and is_inside_gates(node):
        return None
    spec = BY_NAME.get(op)
    if spec is None:
        return Refusal(op, label, _unknown(op))
    for rule in spec.rules:
        result = rule(node, hw)
        if not result.ok or (result.as_table and not is_table(node)):
            return Refusal(op, label, rule_text(rule, hw), result.found, machine=hw.name)
    return None


def _foreign_input(node: ir.Node, makers: Collection[ir.Node | None]) -> Refusal | None:
    """The refusal of a node that reads what is no number of the machine, from one of `makers` (None: a model input)."""
    for value in computed_inputs(node):
        integers = node.op_type == "DequantizeLinear" and dtype_of(value) in ("int8", "uint8")
        integers = integers or value in [node.inputs[i] for i in NUMBERS.get(node.op_type, ()) if i < len(node.inputs)]
        if value.producer() in makers and dtype_of(value) != "float32" and not integers:
            what = "export the model in float32 (model.float())" if _is_real(value) else "put a Cast to float32 there"
            cause = f"its operands must be float32, or int8 and uint8 of DequantizeLinear; {what}."
            return Refusal(node.op_type, node_label(node), cause, f"{_kind(value)} '{value.name}'")
    return None


def _is_real(value: ir.Value) -> bool:
    """Whether it is of another float type."""
    return value.dtype is not None and value.dtype.is_floating_point()


def _kind(value: ir.Value) -> str:
    """The dtype as numpy calls it."""
    return dtype_of(value) or str(value.dtype).lower()


def _unknown(operator: str) -> str:
    """What to do about an operator without a spec."""
    if operator.startswith("QLinear"):
        return "this is the QOperator format; quantize with QuantFormat.QDQ, or compile the float model."
    if operator.endswith("Integer") or operator == "DynamicQuantizeLinear":
        return "dynamic quantization has no fixed scales; quantize statically, or compile the float model."
    return "the operator is not supported; 'vlac ops' lists those that are."
