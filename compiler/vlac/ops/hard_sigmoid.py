"""HardSigmoid: a table, in the operator before it or in VEC."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from vlac.lowering.spec import F32
from vlac.lowering.unary import unary
from vlac.model.reading import attribute

__all__ = ["SPEC"]


def _function(node: ir.Node, x: F32) -> Any:
    alpha, beta = (np.float32(attribute(node, n, d)) for n, d in (("alpha", 0.2), ("beta", 0.5)))
    return np.clip(alpha * x + beta, np.float32(0), np.float32(1))


SPEC = unary("HardSigmoid", _function)
