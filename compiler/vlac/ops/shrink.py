"""Shrink: a table, in the operator before it or in VEC."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from vlac.lowering.spec import F32
from vlac.lowering.unary import unary
from vlac.model.reading import attribute

__all__ = ["SPEC"]


def _function(node: ir.Node, x: F32) -> Any:
    bias, lambd = (np.float32(attribute(node, n, d)) for n, d in (("bias", 0.0), ("lambd", 0.5)))
    return np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, np.float32(0)))


SPEC = unary("Shrink", _function)
