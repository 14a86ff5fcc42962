"""Pow with a scalar constant as exponent (or base): a table, in the operator before it or in VEC."""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.lowering.unary import TABLE, fits, lower_function, several
from vlac.model.reading import constant_input, shape_of

__all__ = ["SPEC"]

_FUNCTION = several(lambda x, y: np.power(np.asarray(x, np.float64), y))


def one_side_is_scalar(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The exponent or the base must be a scalar constant, or both functions of one tensor."""
    kinds = ["a computed" if constant_input(node, i) is None else "a constant" for i in (0, 1)]
    base, exponent = (f"{kind} tensor {list(shape_of(v))}" for kind, v in zip(kinds, node.inputs, strict=True))
    return RuleResult(True, f"{base} to the power of {exponent}", as_table=True)


SPEC: OpSpec = OpSpec(
    "Pow",
    f"{TABLE} A power that is no real number counts as that of the nearest input where it is one.",
    rules=(fits, one_side_is_scalar),
    lower=partial(lower_function, function=_FUNCTION),
    function=_FUNCTION,
)
