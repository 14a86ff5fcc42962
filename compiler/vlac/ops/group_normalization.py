"""GroupNormalization: several nodes of a float model (`rewrite/group_norm_steps.py`)."""

from __future__ import annotations

from vlac.lowering.norms import split_spec

__all__ = ["SPEC"]

SPEC = split_spec(
    "GroupNormalization",
    "REDUCE, RECIP and ROW over groups of whole words that fit a row; else averages by POOL, products by VEC.",
)
