"""LRN (local response normalization): several nodes of a float model (`rewrite/lrn_to_conv.py`)."""

from __future__ import annotations

from vlac.lowering.norms import split_spec

__all__ = ["SPEC"]

SPEC = split_spec("LRN", "VEC for the square, a 1x1 CONV over the window of channels, its table, and VEC.")
