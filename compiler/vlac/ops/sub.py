"""Sub of two tensors or of a tensor and a constant: VEC, or a table where the constant is a scalar."""

from __future__ import annotations

import numpy as np

from vlac.lowering.elementwise import binary

__all__ = ["SPEC"]

SPEC = binary("Sub", np.subtract, "sub")
