"""LeakyRelu: the table of the operator before it, or VEC with a table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from vlac.ops.spec import F32, OpSpec, attribute
from vlac.ops.unary import lower_unary

__all__ = ["SPEC"]


def _function(node: ir.Node, x: F32) -> F32:
    return np.where(x < 0, np.float32(attribute(node, "alpha", 0.01)) * x, x).astype(np.float32)


_SPEC = OpSpec("LeakyRelu", "A table of 256 entries, in the layer before it or in VEC.", function=_function)
SPEC = replace(_SPEC, lower=lower_unary(_SPEC))
