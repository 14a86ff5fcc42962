"""RMSNormalization over the last axis: moments of each pixel, a reciprocal root, one scaling."""

from __future__ import annotations

from vlac.lowering.norms import norm_spec

__all__ = ["SPEC"]

SPEC = norm_spec("RMSNormalization", centred=False)
