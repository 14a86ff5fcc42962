"""A view: the bytes of a tensor under another shape, without an instruction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlac.ir.operation import Op

__all__ = ["View"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class View(Op):
    """The same bytes read as an image and as a vector: no instruction. One of input and output is a vector.

    Output element i is input element `order[i]`, i where `order` is None.
    """

    order: I64 | None = None

    @property
    def queue(self) -> str:
        """None: a view has no packets."""
        return ""

    def image_lanes(self, block: int) -> I64:
        """The vector's element at each byte of the image, -1 for padding."""
        if self.inputs[0].is_vector:
            flat = self.output.flat_index(block).reshape(-1)
            order = self.order
        else:
            flat = self.inputs[0].flat_index(block).reshape(-1)
            order = None if self.order is None else np.argsort(self.order)
        return flat if order is None else np.where(flat < 0, -1, order[flat])

    def rearranged(self, parts: list[NDArray[np.int8]]) -> NDArray[np.int8]:
        """The output's values, for comparison with a reference."""
        flat = parts[0].reshape(-1)
        return (flat if self.order is None else flat[self.order]).reshape(self.output.shape)
