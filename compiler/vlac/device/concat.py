"""Concatenation of channels, without an instruction: producers write in place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlac.ir.operation import Op, Placer, Tensor

__all__ = ["ConcatOp"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class ConcatOp(Op):
    """Inputs side by side in channel blocks: no instruction, the producers write in place.

    out[y, x, order[c]] = concatenated[y, x, c], where `order` None leaves the channels as they follow each other.
    """

    order: I64 | None = None

    by_pixels = True

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        joined = np.concatenate(inputs, axis=2)
        return joined if self.order is None else joined[:, :, np.argsort(self.order)]

    def takes_wide(self, tensor: Tensor) -> bool:
        """Any."""
        return True

    def verify(self) -> None:
        """Sizes, and one scale for all."""
        out = self.output
        self.require(sum(t.c for t in self.inputs) == out.c, "its inputs have not the channels of its output")
        for t in self.inputs:
            self.require((t.h, t.w) == (out.h, out.w), f"'{t.label}' is of another size")
            same = t.same_scale(out)
            self.require(same, f"'{t.label}' has another scale")

    def nest(self, placer: Placer) -> None:
        """Every input lies in the output; a copy does where the input lies elsewhere or comes twice."""
        for number, tensor in enumerate(self.inputs):
            fixed = tensor.parent is not None or (placer.is_input(tensor) and not tensor.is_vector)
            if fixed or self.inputs.count(tensor) > 1:
                tensor = placer.copied(self, number)
            tensor.parent = self.output

    @property
    def pads_zero(self) -> bool:
        """Where all inputs do."""
        return all(t.pads_zero for t in self.inputs)

    def place(self, placer: Placer) -> None:
        """The inputs' orders one after another, each from a channel block on."""
        offset, first, parts = 0, 0, []
        for t in self.inputs:
            t.offset = offset
            parts.append(np.where(t.known_map() < 0, -1, t.known_map() + first))
            offset, first = offset + t.blocks(placer.block), first + t.c
        self.output.channel_map = np.concatenate(parts)
