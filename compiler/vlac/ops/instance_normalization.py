"""InstanceNormalization: groups of one channel (`rewrite/sequence/group_norm.py`)."""

from __future__ import annotations

from vlac.lowering.norms import split_spec

__all__ = ["SPEC"]

SPEC = split_spec("InstanceNormalization", "As GroupNormalization, a group for each channel.")
