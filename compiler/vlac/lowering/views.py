"""Operators that only look at the same values in another shape. Shared by Reshape, Flatten, Identity, Dropout, ..."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from vlac.lowering.context import LoweringContext
from vlac.lowering.layout import lower_layout
from vlac.lowering.spec import OpSpec
from vlac.model.reading import shape_of

__all__ = ["view"]


def view(name: str) -> OpSpec:
    """The spec of an operator that keeps its input's values in ONNX order."""
    return OpSpec(name, "No instruction; where pixels become channels see Transpose.", lower=_lower, keeps_scale=True)


def _lower(low: LoweringContext, node: ir.Node) -> None:
    lower_layout(low, node, [np.arange(math.prod(shape_of(node.outputs[0])))])
