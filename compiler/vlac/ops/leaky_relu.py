"""LeakyRelu: a table, in the operator before it or in VEC."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from vlac.ops.spec import F32, attribute
from vlac.ops.unary import unary

__all__ = ["SPEC"]


def _function(node: ir.Node, x: F32) -> Any:
    return np.where(x < 0, np.float32(attribute(node, "alpha", 0.01)) * x, x)


SPEC = unary("LeakyRelu", _function)
