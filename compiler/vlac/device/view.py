"""A view: the bytes of a tensor under another shape, without an instruction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlac.ir.channel_maps import padded_map
from vlac.ir.operation import Op, Placer, Tensor

__all__ = ["View"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class View(Op):
    """The same bytes read as an image and as a vector: no instruction. One of input and output is a vector.

    Output element i (in ONNX order) is input element `order[i]`, i where `order` is None.
    """

    order: I64 | None = None

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        flat = self.inputs[0].from_hwc(inputs[0]).reshape(-1)
        return self.output.to_hwc(flat if self.order is None else flat[self.order])

    def verify(self) -> None:
        """A vector on one side, and every element once."""
        x, out = self.inputs[0], self.output
        size = x.h * x.w * x.c
        self.require(out.h * out.w * out.c == size, f"{list(x.shape)} has not the elements of {list(out.shape)}")
        self.require(x.is_vector or out.is_vector, "neither side is a vector")
        whole = self.order is None or np.array_equal(np.sort(self.order), np.arange(size))
        self.require(whole, "its order is no permutation")

    @property
    def view_of(self) -> Tensor:
        """The input."""
        return self.inputs[0]

    def nest(self, placer: Placer) -> None:
        """The image lies row by row in the vector."""
        if self.inputs[0].is_vector:
            self.output.parent = self.inputs[0]
        else:
            image = self.inputs[0] if self.inputs[0].parent is None else placer.copied(self, 0)
            image.parent = self.output

    def preset(self, placer: Placer) -> None:
        """A vector that is read as an image takes the image's order."""
        if self.inputs[0].is_vector:
            self.output.channel_map = padded_map(self.output.c, placer.block)
            self.inputs[0].channel_map = self._image_map(placer.block)

    def place(self, placer: Placer) -> None:
        """The image's order on both sides."""
        if self.inputs[0].is_vector:
            placer.read_as(self, 0, self._image_map(placer.block))
            self.output.parent = self.inputs[0]
        else:
            self.output.channel_map = self._image_map(placer.block)

    def _image_map(self, block: int) -> I64:
        """The vector's element at each byte of the image, -1 for padding."""
        if self.inputs[0].is_vector:
            flat = self.output.flat_index(block).reshape(-1)
            order = self.order
        else:
            flat = self.inputs[0].flat_index(block).reshape(-1)
            order = None if self.order is None else np.argsort(self.order)
        return flat if order is None else np.where(flat < 0, -1, order[flat])
