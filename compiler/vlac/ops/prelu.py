"""PRelu: a table where the slope is a scalar; else VECs that round the result once.

mul makes the negative side, slope * min(x, 0), in the result's scale. Adding max(x, 0), which is 0 where that is
not, changes no bit of it. Where every slope lies in 0..1 the result is max(x, slope * x), which is shorter.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vla_isa.integer import INT8
from vlac.device.vec import VecOp
from vlac.ir.operation import Tensor
from vlac.ir.records import UNIT
from vlac.lowering.context import LoweringContext
from vlac.lowering.elementwise import add_multipliers, operand_pair, operands_match, product_multiplier
from vlac.lowering.quantized import Result
from vlac.lowering.spec import F32, OpSpec, RuleResult
from vlac.lowering.unary import TABLE, fits, lower_table, several
from vlac.model.labels import node_label
from vlac.model.reading import constant_input, input_name

__all__ = ["SPEC"]


def input_is_computed(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The input must be computed; the slope may be a constant."""
    return RuleResult(constant_input(node, 0) is None, f"constant input {input_name(node, 0)}")


def _prelu(x: F32, slope: F32) -> F32:
    return np.where(x < 0, np.float32(slope) * x, x)


_FUNCTION = several(_prelu)


def _lower(low: LoweringContext, node: ir.Node) -> None:
    if lower_table(low, node, partial(_FUNCTION, node)):
        return
    x, slope, swapped = operand_pair(low, node)
    assert not swapped
    out = low.result(node)
    where = f"{node.op_type} '{node_label(node)}'"
    mult, shift = product_multiplier(x, slope, out.tensor, where)
    plain = slope.constant is not None and _in_unit(slope)
    below = x if plain else _clamped(low, out, x, "below", INT8.lo, x.zero_point)
    above = x if plain else _clamped(low, out, x, "above", x.zero_point, INT8.hi)
    product = _like(out.tensor, x, "product")
    zero = out.tensor.zero_point
    low.graph.insert(VecOp(out.label, "PRelu", [below, slope], product, "mul", mult, 0, shift, zero))
    mults = add_multipliers(above, product, out.tensor, where)
    function = "max" if plain else "add"
    low.graph.insert(VecOp(out.label, "PRelu", [above, product], out.tensor, function, *mults, zero, out.lo, out.hi))


def _in_unit(slope: Tensor) -> bool:
    assert slope.constant is not None
    real = (slope.constant.astype(np.float64) - slope.zero_point) * slope.scale
    return bool((real >= 0).all() and (real <= 1).all())


def _clamped(low: LoweringContext, out: Result, x: Tensor, name: str, lo: int, hi: int) -> Tensor:
    part = x.like(f"{out.tensor.name}:{name}", label=f"{out.tensor.label}:{name}")
    low.graph.insert(VecOp(out.label, "PRelu", [x], part, "add", UNIT[0], 0, UNIT[1], x.zero_point, lo, hi))
    return part


def _like(out: Tensor, x: Tensor, name: str) -> Tensor:
    return out.like(f"{out.name}:{name}", label=f"{out.label}:{name}", shape=x.shape)


SPEC = OpSpec(
    "PRelu",
    f"{TABLE} Two or four VECs where the slope is no scalar.",
    rules=(input_is_computed, fits, operands_match),
    lower=_lower,
    function=_FUNCTION,
)
