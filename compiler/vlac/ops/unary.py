"""Unary functions of int8: a 256-entry table, computed from the float function. Shared by their operator files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from vla_isa.numerics import clamp, make_table
from vlac.ir.graph import Tensor, VecOp
from vlac.ops.spec import F32, OpSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlac.legalize.lowering import Lowering

__all__ = ["lower_function", "lower_unary"]


def lower_unary(spec: OpSpec) -> Callable[[Lowering, ir.Node], None]:
    """The lowering of a unary operator whose spec has a `function`."""
    function = spec.function
    assert function is not None

    def lower(low: Lowering, node: ir.Node) -> None:
        clamps = spec.name in ("Relu", "Clip")
        x = low.moved_operand(node) if clamps else low.operand(node, 0)
        lower_function(low, node, x, lambda values: function(node, values))

    return lower


def lower_function(low: Lowering, node: ir.Node, x: Tensor, function: Callable[[F32], F32]) -> None:
    """One VEC with the table of `function`, which takes and returns float32 arrays."""
    out = low.result(node)
    table = make_table(function, x.scale, x.zero_point, out.tensor.scale, out.tensor.zero_point)
    table = clamp(table, out.lo, out.hi).astype(np.int8)
    low.graph.ops.append(
        VecOp(out.label, node.op_type, [x], out.tensor, "add", 1 << 23, 0, 23, x.zero_point, table=table)
    )
