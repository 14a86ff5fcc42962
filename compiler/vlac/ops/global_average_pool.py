"""GlobalAveragePool: one POOL whose window is the whole map."""

from __future__ import annotations

import onnx_ir as ir

from vlac.lowering.context import LoweringContext
from vlac.lowering.pooling import is_image, lower_average
from vlac.lowering.spec import OpSpec

__all__ = ["SPEC"]


def _lower(low: LoweringContext, node: ir.Node) -> None:
    x = low.operand(node, 0)
    lower_average(low, node, x, low.result(node), (x.h, x.w))


SPEC = OpSpec("GlobalAveragePool", "POOL whose window is the whole map.", rules=(is_image,), lower=_lower)
