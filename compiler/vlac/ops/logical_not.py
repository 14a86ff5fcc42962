"""Not: a truth value inside a table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vlac.lowering.comparison import is_read_inside, truth
from vlac.lowering.spec import OpSpec
from vlac.lowering.unary import fits

__all__ = ["SPEC"]

# its one operand is always a function of one tensor
SPEC: OpSpec = replace(truth("Not", np.logical_not), rules=(fits, is_read_inside))
