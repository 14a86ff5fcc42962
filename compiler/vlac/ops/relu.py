"""Relu: the lower clamp or the table of the operator before it, or VEC with a table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from vlac.lowering.spec import F32
from vlac.lowering.unary import unary

__all__ = ["SPEC"]


def _function(node: ir.Node, x: F32) -> F32:
    return np.maximum(x, np.float32(0))


SPEC = replace(unary("Relu", _function), summary="The clamp or the table of the layer before it, or VEC with a table.")
