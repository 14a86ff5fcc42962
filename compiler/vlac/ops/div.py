"""Div by a constant: a table, or the Mul that a rewrite makes of it (`rewrite/div_to_mul`)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.ops.chains import is_table
from vlac.ops.spec import OpSpec, RuleResult, constant_input, input_name, shape_of
from vlac.ops.unary import TABLE, fits, lower_table, several

if TYPE_CHECKING:
    from vlac.legalize.lowering import Lowering

__all__ = ["SPEC"]

_FUNCTION = several(np.divide)


def divides_by_a_constant(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """One side must be a scalar constant, or both functions of one tensor; in a float model any divisor without
    zeros that is a constant.
    """
    divisor, shape = constant_input(node, 1), list(shape_of(node.inputs[1]))
    found = f"computed divisor {input_name(node, 1)}"
    if divisor is not None:
        found = f"constant divisor of shape {shape} with {np.count_nonzero(divisor == 0)} zeros"
    return RuleResult(is_table(node), found)


def _lower(low: Lowering, node: ir.Node) -> None:
    if not lower_table(low, node, partial(_FUNCTION, node)):
        for index in (0, 1):
            low.operand(node, index)  # says what is not quantized


SPEC: OpSpec = OpSpec(
    "Div",
    f"{TABLE} By a constant that is no scalar: VEC, as Mul. Division by 0 saturates.",
    rules=(fits, divides_by_a_constant),
    lower=_lower,
    function=_FUNCTION,
)
