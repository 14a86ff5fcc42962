"""RECIP: reciprocals of sums, and of the roots of moments, as row records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.generated.codes import RecipBias, RecipFunction
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.recip import RECIP
from vlac.ir.channel_maps import padded_map
from vlac.ir.cut import Cut, Span
from vlac.ir.operation import ITEM_BYTES, Home, Op, Placer, Tensor
from vlac.ir.packet import Region, RelocatablePacket

__all__ = ["RecipOp"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class RecipOp(Op):
    """(bias, mult, shift) of each pixel: K / (value + add) or K / sqrt(value + add), K = mult * 2^-shift.

    The value is that of the pixel's item: of a row vector, or the sum of a matrix with items. `centred`: the bias is
    the item's second value negated, else 0. Items of groups of channels have a record each.
    """

    function: RecipFunction
    mult: int
    shift: int
    add: int = 0
    centred: bool = False

    queue = "vec"
    in_bands = False
    by_pixels = True

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        x, root = inputs[0], self.function == RecipFunction.RSQRT
        items = x.reshape(*x.shape[:2], self.output.groups, -1)
        value = items[..., 0] if self.inputs[0].home is Home.ITEMS else items.sum(axis=3)
        inverse = numerics.rsqrt if root else numerics.reciprocal
        mult, shift = inverse(value + self.add, self.mult, self.shift)
        bias = -items[..., 1] if self.centred else np.zeros_like(mult)
        return np.stack([bias, mult, shift], axis=3).reshape(*x.shape[:2], -1)

    def takes_wide(self, tensor: Tensor) -> bool:
        """Of a matrix it reads the sums."""
        return tensor is self.inputs[0]

    def verify(self) -> None:
        """An item for each pixel in front and behind."""
        x, out = self.inputs[0], self.output
        self.require(x.home is Home.ITEMS or x.with_items, "its input has no items")
        self.require(not self.centred or x.home is Home.ITEMS, "sums have no second value")
        sizes = (out.w, out.c, out.groups) == (x.w, 3 * x.groups, x.groups)
        self.require(out.home is Home.ITEMS and sizes, "its output is not a record a pixel")

    def most_pixels(self, hw: HardwareConfig) -> int:
        """As many items as a packet counts."""
        return RECIP.limit("n") // self.output.groups

    def place(self, placer: Placer) -> None:
        """Nothing to choose."""
        self.output.channel_map = padded_map(self.output.c, placer.block)

    @property
    def in_spans(self) -> bool:
        """Any pixels, of a row vector: a softmax of one head is too short to be cut."""
        return self.inputs[0].home is Home.ITEMS

    def joins(self, leader: Op) -> bool:
        """What a norm counts, span by span."""
        return leader.output is self.inputs[0] and leader.in_spans and self.in_spans

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One for each span of pixels, or one of all."""
        x, source, groups = self.inputs[0], region(self.inputs[0]), self.output.groups
        item = groups * ITEM_BYTES // hw.block
        packets = []
        for x0, x1 in cut.spans or [(0, x.w)]:
            values = {
                "function": self.function,
                "in_base": (source.base if x.home is Home.ITEMS else source.items) + x0 * item,
                "n": (x1 - x0) * groups,
                "mult": self.mult,
                "shift": self.shift,
                "add": self.add,
                "bias": RecipBias.MINUS_SECOND if self.centred else RecipBias.ZERO,
                "out_base": region(self.output).base + x0 * item,
            }
            packets.append(RelocatablePacket("RECIP", values, self.node, self.op_type))
        return packets
