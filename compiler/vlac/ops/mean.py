"""Mean of tensors: an Add that halves, or Adds two by two and a Mul."""

from __future__ import annotations

import numpy as np

from vlac.lowering.elementwise import binary

__all__ = ["SPEC"]

SPEC = binary("Mean", lambda *x: np.add(x[0], x[1]) / np.float32(2) if len(x) == 2 else x[0], "add", variadic=True)
