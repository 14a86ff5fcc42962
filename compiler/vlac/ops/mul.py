"""Mul of two tensors or of a tensor and a constant: VEC, or a table where the constant is a scalar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from vlac.ops.elementwise import lower_binary, operands_match
from vlac.ops.spec import OpSpec

if TYPE_CHECKING:
    from vlac.legalize.lowering import Lowering

__all__ = ["SPEC"]


def _lower(low: Lowering, node: ir.Node) -> None:
    lower_binary(low, node, lambda x, c: x * c, "mul")


SPEC = OpSpec("Mul", "VEC; a table where one operand is a scalar constant.", rules=(operands_match,), lower=_lower)
