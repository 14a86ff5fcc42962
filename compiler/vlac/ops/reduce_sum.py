"""ReduceSum: POOL over rows and pixels with divisor 1, a product with ones over channels."""

from __future__ import annotations

from vlac.lowering.reduce import sums

__all__ = ["SPEC"]

SPEC = sums("ReduceSum", mean=False)
