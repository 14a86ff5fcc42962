"""Where: a choice between functions of one tensor, by a condition on it: a table."""

from __future__ import annotations

import numpy as np

from vlac.lowering.comparison import piecewise
from vlac.lowering.spec import OpSpec

__all__ = ["SPEC"]

SPEC: OpSpec = piecewise("Where", lambda condition, x, y: np.where(condition != 0, x, y))
