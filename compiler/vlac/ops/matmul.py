"""MatMul with a constant right side: the GEMM instruction without bias."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vlac.lowering.context import LoweringContext
from vlac.lowering.matrix_layer import lower_matrix
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.lowering.weights import weights_fit
from vlac.model.reading import expert_choice, input_name, is_constant, shape_of

__all__ = ["SPEC"]


def b_is_a_constant_matrix(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The right side must be a constant matrix [K, N] or vector [K] (float, and left no vector: also [..., K, N]), or
    one of constants [experts, K, N] that a Gather chooses by one number.
    """
    shape = shape_of(node.inputs[1])
    ok = is_constant(node.inputs[1]) or expert_choice(node.inputs[1]) is not None
    found = f"{'constant' if ok else 'computed'} {input_name(node, 1)} of shape {list(shape)}"
    return RuleResult(ok and len(shape) <= 2, found)


def _lower(low: LoweringContext, node: ir.Node) -> None:
    """The left side's last axis is K, the others are rows."""
    x = low.operand(node, 0)
    vector = len(shape_of(node.inputs[1])) == 1
    shape = shape_of(node.inputs[0])
    rows = (math.prod(shape[:-1]), shape[-1])
    x = low.moved(node, x, rows, f"{x.name}:rows")
    out = low.result(node)
    t = out.tensor
    made = t.like(f"{t.name}:rows", shape=(rows[0], 1 if vector else shape_of(node.inputs[1])[1]))
    made = t if made.same_order(t) else made

    def turned(values: NDArray[np.int8]) -> NDArray[np.int8]:
        return values[None] if vector else np.ascontiguousarray(values.T)

    lower_matrix(low, node, x, out, made, 0 if vector else 1, turned)
    if made is not t:
        low.layout(node, [made], np.arange(math.prod(t.shape)), t)


SPEC = OpSpec(
    "MatMul",
    "GEMM with a constant right side; two of them where the left side is int16.",
    rules=(b_is_a_constant_matrix, weights_fit),
    lower=_lower,
)
