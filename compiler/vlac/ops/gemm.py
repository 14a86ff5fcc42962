"""Gemm: the GEMM instruction. transB, alpha and beta go into weights and records."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vlac.lowering.context import LoweringContext
from vlac.lowering.matrix_layer import lower_matrix
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.lowering.weights import weights_fit
from vlac.model.reading import attribute, constant_input, expert_choice, input_name, is_constant, shape_of

__all__ = ["SPEC"]


def b_is_constant(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """B and C must be constants, or of constants [experts, ...] those that Gathers choose by one number."""
    inputs = [(i, v) for i, v in enumerate(node.inputs) if i and v is not None]
    expert = expert_choice(node.inputs[1])
    known = [v for _, v in inputs if is_constant(v) or (expert and _is_same_choice(v, expert))]
    computed = [f"computed {'ABC'[i]} {input_name(node, i)}" for i, v in inputs if v not in known]
    return RuleResult(not computed, " and ".join(computed))


def _is_same_choice(value: ir.Value, choice: ir.Node) -> bool:
    """Whether a value is chosen by the same number."""
    found = expert_choice(value)
    return found is not None and found.inputs[1] is choice.inputs[1]


def c_is_per_column(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """C must be a scalar or one row; in a float model C of several rows becomes an Add."""
    c = constant_input(node, 2)
    ok = c is None or c.ndim < 2 or c.shape[0] == 1
    return RuleResult(ok, f"C of shape {list(c.shape) if c is not None else []}")


def alpha_is_positive(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """alpha must be greater than 0; multiply B by it instead."""
    alpha = float(attribute(node, "alpha", 1.0))
    return RuleResult(alpha > 0, f"alpha {alpha:g}")


def _lower(low: LoweringContext, node: ir.Node) -> None:
    x = low.operand(node, 0)
    if attribute(node, "transA", 0):
        rows, columns = shape_of(node.inputs[0])
        numbers = np.arange(rows * columns).reshape(rows, columns).T.reshape(-1)
        name = f"{x.name}:transposed"
        x = low.layout(node, [x], numbers, x.like(name, label=name, shape=(columns, rows)))
    transposed = bool(attribute(node, "transB", 0))
    out = low.result(node)
    alpha, beta = float(attribute(node, "alpha", 1.0)), float(attribute(node, "beta", 1.0))

    def turned(values: NDArray[np.int8]) -> NDArray[np.int8]:
        return values if transposed else np.ascontiguousarray(values.T)

    lower_matrix(low, node, x, out, out.tensor, 0 if transposed else 1, turned, alpha, beta)


SPEC = OpSpec(
    "Gemm",
    "GEMM, two of them where A is int16; transB, alpha and beta are folded into weights and records; transA moves data "
    "as Transpose does.",
    rules=(b_is_constant, c_is_per_column, alpha_is_positive, weights_fit),
    lower=_lower,
)
