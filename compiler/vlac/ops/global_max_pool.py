"""GlobalMaxPool: one POOL whose window is the whole map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from vlac.ops.pooling import is_image
from vlac.ops.reduce import lower_maximum
from vlac.ops.spec import OpSpec

if TYPE_CHECKING:
    from vlac.legalize.lowering import Lowering

__all__ = ["SPEC"]


def _lower(low: Lowering, node: ir.Node) -> None:
    lower_maximum(low, node, everywhere=True)


SPEC = OpSpec("GlobalMaxPool", "POOL whose window is the whole map.", rules=(is_image,), lower=_lower)
