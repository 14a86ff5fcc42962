"""A BatchNormalization that follows no Conv or Gemm becomes a depthwise 1x1 Conv, or Mul and Add.

matches: BatchNormalization with constant statistics; rewrite: weight scale / sqrt(var + eps), as a Conv for an image
[1, C, H, W], else multiplied and added per channel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter import pattern

from vlac.ir.geometry import is_image
from vlac.model.reading import attribute, shape_of
from vlac.rewrite.nodes import initializer

__all__ = ["BATCH_NORM_TO_CONV"]


class _BatchNormToConv(pattern.RewriteRuleClassBase):  # type: ignore[misc]  # onnxscript has no stubs
    def pattern(self, op: Any, x: ir.Value, scale: ir.Value, bias: ir.Value, mean: ir.Value, var: ir.Value) -> Any:
        return op.BatchNormalization(x, scale, bias, mean, var, _allow_other_attributes=True, _outputs=["y"])

    def check(
        self,
        context: Any,
        x: ir.Value,
        scale: ir.Value,
        bias: ir.Value,
        mean: ir.Value,
        var: ir.Value,
        y: ir.Value,
        **_: Any,
    ) -> Any:
        result = pattern.MatchResult()
        node = y.producer()
        if node is None or attribute(node, "training_mode", 0):
            return result.fail("statistics are those of the batch")
        if x.shape is None:
            return result.fail("unknown shape")
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
        assert node is not None and isinstance(node.graph, ir.Graph)
        found = node.attributes.get("epsilon")
        factor = arrays[0] / np.sqrt(arrays[3] + (1e-5 if found is None else float(found.value)))
        weight = factor.astype(np.float32).reshape(-1, 1, 1, 1)
        offset = (arrays[1] - arrays[2] * factor).astype(np.float32)
        if not is_image(shape_of(x)):
            per_channel = (-1,) + (1,) * (len(shape_of(x)) - 2)
            weight, offset = weight.reshape(per_channel), offset.reshape(per_channel)
        constants = [initializer(node.graph, f"{y.name}.{n}", a) for n, a in (("weight", weight), ("bias", offset))]
        if not is_image(shape_of(x)):
            return op.Add(op.Mul(x, constants[0]), constants[1])
        return op.Conv(x, *constants, group=len(offset))


BATCH_NORM_TO_CONV = _BatchNormToConv.rule()
