"""Truth values inside a function of one tensor: shared by the comparisons, Not, And, Or and Where.

The device has no truth values; between one int8 tensor and the number that Where picks they are part of a table
(`unary`), as 0 and 1. So the piecewise functions that exporters write out (Softplus, Threshold) cost one table.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.lowering.unary import fits, lower_function, several
from vlac.model.labels import node_label

__all__ = ["is_read_inside", "piecewise", "truth"]

_READERS = ("And", "Not", "Or", "Where")


def is_of_one_tensor(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Its operands must be functions of one tensor, with no quantization in between, or scalar constants."""
    names = [f"'{v.name}'" for v in node.inputs if v is not None]
    return RuleResult(True, " and ".join(names), as_table=True)


def is_read_inside(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Its result, a truth value, must end in a Where."""
    value = node.outputs[0]
    readers = [f"{u.op_type} '{node_label(u)}'" for u in value.consumers() if u.op_type not in _READERS]
    if value.is_graph_output():
        readers.append(f"the model output '{value.name}'")
    return RuleResult(not readers, " and ".join(readers))


def _spec(name: str, function: Callable[..., Any], summary: str, *, number: bool) -> OpSpec:
    table = several(function)
    lower = partial(lower_function, function=table)
    rules = (fits, is_of_one_tensor) if number else (fits, is_of_one_tensor, is_read_inside)
    return OpSpec(name, summary, rules, lower, quantize=number, function=table)


def truth(name: str, function: Callable[..., Any]) -> OpSpec:
    """The spec of an operator with a truth value as result."""
    return _spec(name, function, "Part of the table that a Where behind it becomes.", number=False)


def piecewise(name: str, function: Callable[..., Any]) -> OpSpec:
    """The spec of an operator that makes a number of a truth value."""
    return _spec(name, function, "A table of 256 entries, together with its condition.", number=True)
