"""ReduceMax: POOL over rows and pixels, which other axes are moved to."""

from __future__ import annotations

from vlac.lowering.reduce import axes_are_constant, is_one_tensor, it_can_be_arranged, lower_maximum
from vlac.lowering.spec import OpSpec

__all__ = ["SPEC"]

SPEC = OpSpec(
    "ReduceMax",
    "POOL over rows and pixels; other axes are made pixels by COPY or a 0/1 matrix first.",
    rules=(axes_are_constant, is_one_tensor, it_can_be_arranged),
    lower=lower_maximum,
)
