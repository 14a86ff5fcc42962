"""Div by a constant: a table, or the Mul that a rewrite makes of it (`rewrite/div_to_mul`)."""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.lowering.unary import TABLE, fits, lower_function, several
from vlac.model.reading import constant_input, input_name, shape_of

__all__ = ["SPEC"]

_FUNCTION = several(np.divide)


def divides_by_a_constant(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """One side must be a scalar constant, or both functions of one tensor; in a float model any divisor without
    zeros that is a constant, and computed numbers: one, or one for each row, channel or pixel.
    """
    divisor, shape = constant_input(node, 1), list(shape_of(node.inputs[1]))
    found = f"computed divisor {input_name(node, 1)}"
    if divisor is not None:
        found = f"constant divisor of shape {shape} with {np.count_nonzero(divisor == 0)} zeros"
    return RuleResult(True, found, as_table=True)


SPEC: OpSpec = OpSpec(
    "Div",
    f"{TABLE} By a constant that is no scalar, or by computed numbers: VEC, as Mul. Division by 0 saturates.",
    rules=(fits, divides_by_a_constant),
    lower=partial(lower_function, function=_FUNCTION),
    function=_FUNCTION,
)
