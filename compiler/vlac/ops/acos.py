"""Acos: a table, in the operator before it or in VEC."""

from __future__ import annotations

import numpy as np

from vlac.lowering.unary import elementary

__all__ = ["SPEC"]

SPEC = elementary("Acos", np.arccos, note="An input outside -1..1 counts as the nearest bound.")
