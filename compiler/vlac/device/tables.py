"""Tables behind an operation that only clamp: then a clamp does."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla_isa.integer import INT8
from vla_isa.numerics import clamp

__all__ = ["Clamped", "narrow"]


class Clamped(Protocol):
    """Results that are clamped to lo..hi."""

    lo: int
    hi: int


def narrow(target: Clamped, table: NDArray[np.int8]) -> bool:
    """Let the target's clamp do what a table does; False, and nothing done, where the table does more than clamp."""
    lo, hi = int(table.min()), int(table.max())
    if not (clamp(INT8.values(), lo, hi) == table).all():
        return False
    # both clamps in one: clamping to [lo, hi] after the target's own
    target.lo, target.hi = (min(max(v, lo), hi) for v in (target.lo, target.hi))
    return True
