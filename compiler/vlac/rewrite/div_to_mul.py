"""A Div by a constant tensor, or by one number that is computed, becomes a Mul by the reciprocal, which VEC can do.

matches: Div(x, c) with a constant c that is no scalar and has no zeros; rewrite: Mul(x, 1 / c).
matches: Div(x, s) with a computed s of one element and x of more; rewrite: Mul(x, Reciprocal(s)). The reciprocal has 8
bits, so s should stay within a few times its least: the accuracy that a compile prints says how that does.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter import pattern

from vlac.model.reading import shape_of
from vlac.rewrite.nodes import initializer

__all__ = ["DIV_TO_MUL"]


class _DivToMul(pattern.RewriteRuleClassBase):  # type: ignore[misc]  # onnxscript has no stubs
    def pattern(self, op: Any, x: ir.Value, divisor: ir.Value) -> Any:
        return op.Div(x, divisor, _outputs=["y"])

    def check(self, context: Any, x: ir.Value, divisor: ir.Value, **_: Any) -> Any:
        result = pattern.MatchResult()
        if _is_one_computed(x, divisor):
            return result
        if divisor.const_value is None or x.const_value is not None:
            return result.fail("not a computed value by a constant")
        array = divisor.const_value.numpy()
        if array.dtype != np.float32 or array.size == 1 or (array == 0).any():
            return result.fail("a scalar, not float32, or with zeros")
        return result

    def rewrite(self, op: Any, x: ir.Value, divisor: ir.Value, y: ir.Value, **_: Any) -> Any:
        if _is_one_computed(x, divisor):
            return op.Mul(x, op.Reciprocal(divisor))
        node = y.producer()
        assert divisor.const_value is not None and node is not None and isinstance(node.graph, ir.Graph)
        factor = (1 / divisor.const_value.numpy().astype(np.float64)).astype(np.float32)
        return op.Mul(x, initializer(node.graph, f"{y.name or 'div'}.reciprocal", factor))


def _is_one_computed(x: ir.Value, divisor: ir.Value) -> bool:
    """Whether several elements are divided by one number that is computed."""
    if divisor.const_value is not None or x.const_value is not None or divisor.dtype != ir.DataType.FLOAT:
        return False
    sizes = [math.prod(shape_of(v)) for v in (x, divisor)]
    return sizes[1] == 1 and sizes[0] > 1 and len(shape_of(divisor)) <= len(shape_of(x))


DIV_TO_MUL = _DivToMul.rule()
