"""A BatchNormalization of an image that follows no Conv or Gemm becomes a depthwise 1x1 Conv.

matches: BatchNormalization of [1, C, H, W] with constant statistics; rewrite: weight scale / sqrt(var + eps).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter import pattern

__all__ = ["BATCH_NORM_TO_CONV"]


class _BatchNormToConv(pattern.RewriteRuleClassBase):  # type: ignore[misc]  # onnxscript has no stubs
    def pattern(self, op: Any, x: ir.Value, scale: ir.Value, bias: ir.Value, mean: ir.Value, var: ir.Value) -> Any:
        return op.BatchNormalization(x, scale, bias, mean, var, _allow_other_attributes=True, _outputs=["y"])

    def check(
        self, context: Any, x: ir.Value, scale: ir.Value, bias: ir.Value, mean: ir.Value, var: ir.Value, **_: Any
    ) -> Any:
        result = pattern.MatchResult()
        if x.shape is None or len(x.shape) != 4:
            return result.fail("not an image")
        if any(v.const_value is None for v in (scale, bias, mean, var)):
            return result.fail("statistics are not constant")
        return result

    def rewrite(
        self,
        op: Any,
        x: ir.Value,
        scale: ir.Value,
        bias: ir.Value,
        mean: ir.Value,
        var: ir.Value,
        y: ir.Value,
        **_: Any,
    ) -> Any:
        arrays = [v.const_value.numpy().astype(np.float64) for v in (scale, bias, mean, var) if v.const_value]
        node = y.producer()
        found = node.attributes.get("epsilon") if node is not None else None
        factor = arrays[0] / np.sqrt(arrays[3] + (1e-5 if found is None else float(found.value)))
        weight = factor.astype(np.float32).reshape(-1, 1, 1, 1)
        offset = (arrays[1] - arrays[2] * factor).astype(np.float32)
        name = y.name or "batch_norm"
        return op.Conv(
            x,
            op.initializer(ir.tensor(weight), name=f"{name}.weight"),
            op.initializer(ir.tensor(offset), name=f"{name}.bias"),
            group=len(offset),
        )


BATCH_NORM_TO_CONV = _BatchNormToConv.rule()
