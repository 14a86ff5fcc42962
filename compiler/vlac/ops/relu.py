"""Relu: the lower clamp or the table of the operator before it, or VEC with a table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from vlac.ops.spec import F32, OpSpec
from vlac.ops.unary import lower_unary

__all__ = ["SPEC"]


def _function(node: ir.Node, x: F32) -> F32:
    return np.maximum(x, np.float32(0))


_SPEC = OpSpec("Relu", "The clamp or the table of the layer before it, or VEC with a table.", function=_function)
SPEC = replace(_SPEC, lower=lower_unary(_SPEC))
