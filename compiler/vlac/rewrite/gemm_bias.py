"""The C of a Gemm becomes one row [N] with beta 1, as quantizers expect it; other ones become an Add behind it.

matches: Gemm(a, b, c) with a constant c that is not [N], or with beta, or with a computed c of the result's shape;
rewrite: Gemm(a, b, beta * row), or Add(Gemm(a, b), beta * c).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter import pattern

from vlac.model.reading import shape_of
from vlac.rewrite.nodes import initializer

__all__ = ["GEMM_BIAS"]


class _GemmBias(pattern.RewriteRuleClassBase):  # type: ignore[misc]  # onnxscript has no stubs
    def pattern(self, op: Any, a: ir.Value, b: ir.Value, c: ir.Value) -> Any:
        return op.Gemm(a, b, c, _allow_other_attributes=True, _outputs=["y"])

    def check(self, context: Any, c: ir.Value, y: ir.Value, **_: Any) -> Any:
        result = pattern.MatchResult()
        if y.shape is None:
            return result.fail("no shape")
        node = y.producer()
        if c.const_value is None:
            return result if shape_of(c) == shape_of(y) else result.fail("a computed row")
        beta = node.attributes.get("beta") if node is not None else None
        if tuple(c.const_value.shape) == (y.shape[-1],) and (beta is None or beta.value == 1):
            return result.fail("one row already")
        return result

    def rewrite(self, op: Any, a: ir.Value, b: ir.Value, c: ir.Value, y: ir.Value, **_: Any) -> Any:
        node = y.producer()
        assert node is not None and y.shape is not None
        assert isinstance(node.graph, ir.Graph)
        attributes = {name: value.value for name, value in node.attributes.items()}
        if c.const_value is None:
            beta = attributes.pop("beta", 1.0)
            if beta != 1:
                c = op.Mul(c, initializer(node.graph, f"{y.name or 'gemm'}.beta", np.array(beta, np.float32)))
            return op.Add(op.Gemm(a, b, **attributes), c)
        array = c.const_value.numpy()
        array = array * np.asarray(attributes.pop("beta", 1.0), array.dtype)
        name = f"{y.name or 'gemm'}.c"
        if array.ndim < 2 or array.shape[0] == 1:
            row = np.ascontiguousarray(np.broadcast_to(array.reshape(-1), (int(y.shape[-1]),)))
            return op.Gemm(a, b, initializer(node.graph, name, row), **attributes)
        return op.Add(op.Gemm(a, b, **attributes), initializer(node.graph, name, array))


GEMM_BIAS = _GemmBias.rule()
