"""A Div by a constant tensor, or by numbers that are computed, becomes a Mul by the reciprocal, which VEC can do.

matches: Div(x, c) with a constant c that is no scalar and has no zeros; rewrite: Mul(x, 1 / c).
matches: Div(x, s) with a computed s of one element, or of one for each row, channel or pixel of x, outside of gates;
rewrite: Mul(x, Reciprocal(s)). The reciprocal has 8 bits, so s should stay within a few times its least: the accuracy
that a compile prints says how that does.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter import pattern

from vlac.ir.geometry import is_image
from vlac.model.gates import is_inside_gates
from vlac.model.reading import shape_of
from vlac.rewrite.nodes import initializer

__all__ = ["DIV_TO_MUL"]


class _DivToMul(pattern.RewriteRuleClassBase):  # type: ignore[misc]  # onnxscript has no stubs
    def pattern(self, op: Any, x: ir.Value, divisor: ir.Value) -> Any:
        return op.Div(x, divisor, _outputs=["y"])

    def check(self, context: Any, x: ir.Value, divisor: ir.Value, y: ir.Value, **_: Any) -> Any:
        result = pattern.MatchResult()
        if _is_by_computed(y.producer()):
            return result
        if divisor.const_value is None or x.const_value is not None:
            return result.fail("not a computed value by a constant")
        array = divisor.const_value.numpy()
        if array.dtype != np.float32 or array.size == 1 or (array == 0).any():
            return result.fail("a scalar, not float32, or with zeros")
        return result

    def rewrite(self, op: Any, x: ir.Value, divisor: ir.Value, y: ir.Value, **_: Any) -> Any:
        node = y.producer()
        assert node is not None and isinstance(node.graph, ir.Graph)
        if _is_by_computed(node):
            return op.Mul(x, op.Reciprocal(divisor))
        assert divisor.const_value is not None
        factor = (1 / divisor.const_value.numpy().astype(np.float64)).astype(np.float32)
        return op.Mul(x, initializer(node.graph, f"{y.name or 'div'}.reciprocal", factor))


def _is_by_computed(node: ir.Node) -> bool:
    """Whether several elements are divided by computed numbers: by one, or by one for each row, channel or pixel."""
    x, divisor = node.inputs
    if x is None or divisor is None or divisor.const_value is not None or x.const_value is not None:
        return False
    if divisor.dtype != ir.DataType.FLOAT or is_inside_gates(node):
        return False
    shape, of = shape_of(x), shape_of(divisor)
    if len(of) > len(shape) or math.prod(of) == math.prod(shape):
        return False
    if math.prod(of) == 1:
        return True
    if is_image(shape):
        return of in ((1, shape[1], 1, 1), (1, 1, *shape[2:]))
    return of == (*shape[:-1], 1)


DIV_TO_MUL = _DivToMul.rule()
