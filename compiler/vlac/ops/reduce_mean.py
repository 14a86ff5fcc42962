"""ReduceMean over rows and pixels: the same POOL as GlobalAveragePool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.ops.pooling import is_image, lower_global_average
from vlac.ops.spec import OpSpec, RuleResult, attribute, constant_input, shape_of

if TYPE_CHECKING:
    from vlac.legalize.lowering import Lowering

__all__ = ["SPEC"]


def is_over_space(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The mean must be taken over the two axes of space (2 and 3)."""
    given = constant_input(node, 1)
    axes = attribute(node, "axes", None) if given is None else given.reshape(-1).tolist()
    rank = len(shape_of(node.inputs[0]))
    found = sorted(int(a) % rank for a in axes or range(rank))
    return RuleResult(found == [2, 3], f"axes {found}")


def _lower(low: Lowering, node: ir.Node) -> None:
    lower_global_average(low, node, low.operand(node, 0), low.result(node))


SPEC = OpSpec("ReduceMean", "POOL whose window is the whole map.", rules=(is_image, is_over_space), lower=_lower)
