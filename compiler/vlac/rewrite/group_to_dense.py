"""A ConvTranspose with groups becomes one without: zero weights between the groups, which the tile mask skips.

matches: ConvTranspose with group > 1 and constant weights; rewrite: weights [C, M / group, ...] as [C, M, ...].
ONNX Runtime's quantizer cannot scale the grouped form per channel, as its weights share one axis for all groups.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter import pattern

from vlac.rewrite.nodes import initializer

__all__ = ["GROUP_TO_DENSE"]


class _GroupToDense(pattern.RewriteRuleClassBase):  # type: ignore[misc]  # onnxscript has no stubs
    def pattern(self, op: Any, x: ir.Value, w: ir.Value) -> Any:
        return op.ConvTranspose(x, w, _allow_other_inputs=True, _allow_other_attributes=True, _outputs=["y"])

    def check(self, context: Any, w: ir.Value, y: ir.Value, **_: Any) -> Any:
        result = pattern.MatchResult()
        node = y.producer()
        group = None if node is None else node.attributes.get("group")
        if group is None or int(group.value) == 1:
            return result.fail("no groups")
        if w.const_value is None:
            return result.fail("weights are not constant")
        return result

    def rewrite(self, op: Any, x: ir.Value, w: ir.Value, y: ir.Value, **_: Any) -> Any:
        node = y.producer()
        assert node is not None and w.const_value is not None and isinstance(node.graph, ir.Graph)
        weight = w.const_value.numpy()
        group = int(node.attributes["group"].value)
        c, m = weight.shape[:2]
        dense = np.zeros((group, c // group, group, m, *weight.shape[2:]), weight.dtype)
        for g, part in enumerate(np.split(weight, group)):
            dense[g, :, g] = part
        dense = dense.reshape(c, group * m, *weight.shape[2:])
        kept = {k: v for k, v in node.attributes.items() if k != "group"}
        weights = initializer(node.graph, f"{w.name}.dense", dense)
        return op.ConvTranspose(x, weights, *node.inputs[2:], **kept)


GROUP_TO_DENSE = _GroupToDense.rule()
