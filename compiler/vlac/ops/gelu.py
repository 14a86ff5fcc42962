"""Gelu, with the error function or its approximation by Tanh: a table, in the operator before it or in VEC."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from vlac.lowering.spec import F32
from vlac.lowering.unary import erf, unary
from vlac.model.reading import attribute

__all__ = ["SPEC"]


def _function(node: ir.Node, x: F32) -> Any:
    v = x.astype(np.float64)
    if attribute(node, "approximate", "none") == "tanh":
        return 0.5 * v * (1 + np.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))
    return 0.5 * v * (1 + erf(v / math.sqrt(2)))


SPEC = unary("Gelu", _function)
