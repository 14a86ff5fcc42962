"""What a model asks for: any rearrangement of values, which `legalize/moves` turns into operations of the machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlac.ir.operation import Op

__all__ = ["MoveOp"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class MoveOp(Op):
    """Output element i is element `index[i]` of the inputs, -1 stands for the integer `fill`.

    `index` int64 [elements of the output], into the inputs' values in ONNX order, one input after another.
    """

    index: I64
    fill: int = 0

    @property
    def queue(self) -> str:
        """None: realized before anything is emitted."""
        return ""
