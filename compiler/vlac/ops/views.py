"""Operators that only look at the same values in another shape. Shared by Reshape, Flatten, Identity, Dropout, ..."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from vlac.ops.moves import lower_move
from vlac.ops.spec import OpSpec, shape_of

if TYPE_CHECKING:
    from vlac.legalize.lowering import Lowering

__all__ = ["view"]


def view(name: str) -> OpSpec:
    """The spec of an operator that keeps its input's values in ONNX order."""
    return OpSpec(name, "No instruction; where pixels become channels see Transpose.", lower=_lower, moves=True)


def _lower(low: Lowering, node: ir.Node) -> None:
    lower_move(low, node, [np.arange(math.prod(shape_of(node.outputs[0])))])
