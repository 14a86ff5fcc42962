"""Acosh: a table, in the operator before it or in VEC."""

from __future__ import annotations

import numpy as np

from vlac.lowering.unary import elementary

__all__ = ["SPEC"]

SPEC = elementary("Acosh", np.arccosh, note="An input below 1 counts as the nearest above.")
