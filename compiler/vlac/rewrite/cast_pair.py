"""A Cast to another float type and back goes away: on the machine both are the same integers.

matches: Cast(Cast(x, to=float16 or float64), to=float32) of a float32 x; rewrite: x.
"""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
from onnxscript.rewriter import pattern

__all__ = ["CAST_PAIR"]

_FLOATS = (ir.DataType.FLOAT16, ir.DataType.DOUBLE)


class _CastPair(pattern.RewriteRuleClassBase):  # type: ignore[misc]  # onnxscript has no stubs
    def pattern(self, op: Any, x: ir.Value) -> Any:
        inner = op.Cast(x, _allow_other_attributes=True, _outputs=["inner"])
        return op.Cast(inner, _allow_other_attributes=True, _outputs=["outer"])

    def check(self, context: Any, x: ir.Value, inner: ir.Value, outer: ir.Value) -> Any:
        result = pattern.MatchResult()
        if x.dtype != ir.DataType.FLOAT or outer.dtype != ir.DataType.FLOAT or inner.dtype not in _FLOATS:
            return result.fail("not between float types and back")
        return result

    def rewrite(self, op: Any, x: ir.Value, **_: Any) -> Any:
        return op.Identity(x)


CAST_PAIR = _CastPair.rule()
