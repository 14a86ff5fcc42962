"""GlobalMaxPool: one POOL whose window is the whole map."""

from __future__ import annotations

import onnx_ir as ir

from vlac.lowering.context import LoweringContext
from vlac.lowering.pooling import is_image
from vlac.lowering.reduce import lower_maximum
from vlac.lowering.spec import OpSpec

__all__ = ["SPEC"]


def _lower(low: LoweringContext, node: ir.Node) -> None:
    lower_maximum(low, node, everywhere=True)


SPEC = OpSpec("GlobalMaxPool", "POOL whose window is the whole map.", rules=(is_image,), lower=_lower)
