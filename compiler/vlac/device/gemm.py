"""GEMM: a product of matrices with requantization and table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlac.ir.operation import Op
from vlac.ir.records import Requant

__all__ = ["GemmOp"]


@dataclass(eq=False)
class GemmOp(Op):
    """M x K by K x N. weight int8 [N, K]."""

    weight: NDArray[np.int8]
    requant: Requant

    @property
    def queue(self) -> str:
        """The MAC engine."""
        return "mac"
