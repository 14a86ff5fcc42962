"""GlobalAveragePool: one POOL whose window is the whole map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from vlac.ops.pooling import is_image, lower_average
from vlac.ops.spec import OpSpec

if TYPE_CHECKING:
    from vlac.legalize.lowering import Lowering

__all__ = ["SPEC"]


def _lower(low: Lowering, node: ir.Node) -> None:
    x = low.operand(node, 0)
    lower_average(low, node, x, low.result(node), (x.h, x.w))


SPEC = OpSpec("GlobalAveragePool", "POOL whose window is the whole map.", rules=(is_image,), lower=_lower)
