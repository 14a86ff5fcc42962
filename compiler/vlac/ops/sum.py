"""Sum of tensors: Adds, two by two."""

from __future__ import annotations

import numpy as np

from vlac.lowering.elementwise import binary

__all__ = ["SPEC"]

SPEC = binary("Sum", lambda *x: np.add(x[0], x[1]) if len(x) == 2 else x[0], "add", variadic=True)
