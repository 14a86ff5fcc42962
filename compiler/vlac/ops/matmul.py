"""MatMul with a constant right side: the GEMM instruction without bias."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.ir.graph import GemmOp
from vlac.ops.gemm import weights_fit
from vlac.ops.spec import OpSpec, RuleResult, constant_input, shape_of
from vlac.ops.weights import Weights, read_weights, requant_of

if TYPE_CHECKING:
    from vlac.legalize.lowering import Lowering

__all__ = ["SPEC"]


def b_is_a_constant_matrix(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The right side must be a constant matrix [K, N]."""
    b = constant_input(node, 1)
    return RuleResult(b is not None and b.ndim == 2, "a computed right side" if b is None else f"shape {list(b.shape)}")


def a_is_a_matrix(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The left side must have rank 1 to 3: its last axis is K, the others are rows."""
    shape = shape_of(node.inputs[0])
    return RuleResult(1 <= len(shape) <= 3, f"shape {list(shape)}")


def _lower(low: Lowering, node: ir.Node) -> None:
    x = low.operand(node, 0)
    weights = read_weights(node, 1, axis=1)
    matrix = np.ascontiguousarray(weights.values.T)
    out = low.result(node)
    requant = requant_of(node, x, Weights(matrix, weights.scales), None, out)
    low.graph.ops.append(GemmOp(out.label, "MatMul", [x], out.tensor, matrix, requant))


SPEC = OpSpec(
    "MatMul",
    "GEMM with a constant right side.",
    rules=(b_is_a_constant_matrix, a_is_a_matrix, weights_fit),
    lower=_lower,
)
