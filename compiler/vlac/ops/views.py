"""Operators that only look at the same values in another shape. Shared by Reshape, Flatten, Identity, Dropout, ..."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from vlac.ir.graph import Tensor
from vlac.ops.spec import shape_of

if TYPE_CHECKING:
    from vlac.legalize.lowering import Lowering

__all__ = ["lower_view"]


def lower_view(low: Lowering, node: ir.Node) -> None:
    """The same tensor, or a View of it; a table behind it where the model changes the scale."""
    x = low.moved_operand(node)
    out = node.outputs[0]
    target, label = low.passthrough(node)
    if target is None:
        low.values[out] = low.moved(node, x, shape_of(out), out.name or label)
        return
    if (target.scale, target.zero_point) != (x.scale, x.zero_point):
        changed = Tensor(
            f"{target.name}:scaled", target.label, x.shape, target.scale, target.zero_point, unsigned=target.unsigned
        )
        low.requantized(x, changed, label, node.op_type)
        x = changed
    moved = low.moved(node, x, shape_of(out), target.name)
    for quantizer in out.consumers():
        for value in quantizer.outputs:
            low.values[value] = moved
