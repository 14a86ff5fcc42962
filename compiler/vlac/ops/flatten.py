"""Flatten: no instruction, the weights of the Gemm behind it are permuted instead."""

from __future__ import annotations

from vlac.ops.spec import OpSpec
from vlac.ops.views import lower_view

__all__ = ["SPEC"]

SPEC = OpSpec("Flatten", "No instruction: flattening permutes the weights behind it.", lower=lower_view)
