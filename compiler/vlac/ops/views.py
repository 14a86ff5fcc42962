"""Operators that only look at the same values in another shape. Shared by Reshape, Flatten, Identity, Dropout, ..."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from vlac.errors import UnsupportedError
from vlac.ir.graph import Tensor
from vlac.ops.final import is_final
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
        _enter(low, node, x, out.name or label, [out])
        return
    if (target.scale, target.zero_point) != (x.scale, x.zero_point):
        changed = Tensor(
            f"{target.name}:scaled", target.label, x.shape, target.scale, target.zero_point, unsigned=target.unsigned
        )
        low.requantized(x, changed, label, node.op_type)
        x = changed
    _enter(low, node, x, target.name, [v for quantizer in out.consumers() for v in quantizer.outputs])


def _enter(low: Lowering, node: ir.Node, x: Tensor, name: str, values: list[ir.Value]) -> None:
    """Let `values` be x in the node's shape; at the end of a model the output's layout has any shape."""
    try:
        moved = low.moved(node, x, shape_of(node.outputs[0]), name)
    except UnsupportedError:
        if not is_final(node, low.hw).ok:
            raise
        for value in values:
            low.values.pop(value, None)
            low.finished[value] = (x, ())
        return
    for value in values:
        low.values[value] = moved
