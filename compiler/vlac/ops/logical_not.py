"""Not: a truth value inside a table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vlac.ops.comparison import is_read_inside, truth
from vlac.ops.spec import OpSpec
from vlac.ops.unary import fits

__all__ = ["SPEC"]

# its one operand is always a function of one tensor
SPEC: OpSpec = replace(truth("Not", np.logical_not), rules=(fits, is_read_inside))
