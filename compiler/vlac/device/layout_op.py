"""What a model asks for: any rearrangement of values, which `legalize/layout_ops` makes operations of the machine."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlac.ir.operation import Op, Tensor

__all__ = ["LayoutOp"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class LayoutOp(Op):
    """Output element i is element `index[i]` of the inputs, -1 stands for the integer `fill`.

    `index` int64 [elements of the output], into the inputs' values in ONNX order, one input after another. It has no
    packets: it is realized before anything is emitted.
    """

    index: I64
    fill: int = 0

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        values = [t.from_hwc(x).reshape(-1) for t, x in zip(self.inputs, inputs, strict=True)]
        return self.output.to_hwc(np.concatenate([*values, np.array([self.fill])])[self.index])

    def takes_wide(self, tensor: Tensor) -> bool:
        """What becomes of it says."""
        return True

    def verify(self) -> None:
        """Elements that exist."""
        size = sum(math.prod(t.shape) for t in self.inputs)
        self.require(len(self.index) == math.prod(self.output.shape), "its index is not that of every element")
        inside = bool(((self.index >= -1) & (self.index < size)).all())
        self.require(inside, "an element does not exist")
