"""Greater: a truth value inside a table."""

from __future__ import annotations

import numpy as np

from vlac.lowering.comparison import truth
from vlac.lowering.spec import OpSpec

__all__ = ["SPEC"]

SPEC: OpSpec = truth("Greater", np.greater)
