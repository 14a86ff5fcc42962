"""ReduceMean: POOL over rows and pixels, a product with ones over channels."""

from __future__ import annotations

from vlac.lowering.reduce import sums

__all__ = ["SPEC"]

SPEC = sums("ReduceMean", mean=True)
