"""Swish (SiLU), x * Sigmoid(alpha * x): a table, in the operator before it or in VEC."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from vlac.lowering.spec import F32
from vlac.lowering.unary import unary
from vlac.model.reading import attribute

__all__ = ["SPEC"]


def _function(node: ir.Node, x: F32) -> Any:
    return x / (1 + np.exp(-attribute(node, "alpha", 1.0) * x.astype(np.float64)))


SPEC = unary("Swish", _function)
