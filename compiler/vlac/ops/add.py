"""Add of two tensors or of a tensor and a constant: VEC, or a table where the constant is a scalar."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vlac.lowering.elementwise import VEC, binary

__all__ = ["SPEC"]

SPEC = replace(binary("Add", np.add, "add"), summary=f"The residual add of the convolution before it, or {VEC}")
