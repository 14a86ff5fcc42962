"""Reshape to a vector, from a vector, or by axes of size 1: no instruction, weights are permuted instead."""

from __future__ import annotations

from vlac.ops.spec import OpSpec
from vlac.ops.views import lower_view

__all__ = ["SPEC"]

SPEC = OpSpec("Reshape", "No instruction: flattening permutes the weights behind it.", lower=lower_view)
