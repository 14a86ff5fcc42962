"""REDUCE: what a norm or a softmax needs to know of each pixel, or which channels are the largest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.generated.codes import ReduceFunction
from vla_isa.hardware import HardwareConfig
from vlac.ir.channel_maps import grouped_map, padded_map
from vlac.ir.cut import Cut, Span
from vlac.ir.operation import ITEM_BYTES, Home, Op, Placer, Tensor
from vlac.ir.packet import Region, RelocatablePacket, matrix_fields

__all__ = ["ReduceOp", "TopMaskOp"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class ReduceOp(Op):
    """(value, second) of each pixel, over q less the zero point: `numerics.moments`, (sum of squares, 0), (largest, 0),
    or (the first channel of the largest, 0). With `groups` the channels are so many groups, as many blocks each, and
    each has an item of its own.
    """

    function: ReduceFunction
    groups: int = 1

    queue = "vec"
    in_bands = False
    by_pixels = True

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        h, w = inputs[0].shape[:2]
        q = (inputs[0] - self.inputs[0].zero_point).reshape(h, w, self.groups, -1)
        return self._items(q).reshape(h, w, -1)

    def _items(self, q: I64) -> I64:
        if self.function == ReduceFunction.SQUARES:
            squares = (q * q).sum(axis=3)
            return np.stack([squares, np.zeros_like(squares)], axis=3)
        if self.function in (ReduceFunction.ARGMAX, ReduceFunction.MAX):
            largest = q.argmax(axis=3) if self.function == ReduceFunction.ARGMAX else q.max(axis=3)
            return np.stack([largest, np.zeros_like(largest)], axis=3)
        return np.stack(numerics.moments(q, q.shape[3]), axis=3)

    def takes_wide(self, tensor: Tensor) -> bool:
        """Any."""
        return True

    def verify(self) -> None:
        """A matrix of one row, and an item for each of its pixels."""
        x, out = self.inputs[0], self.output
        self.require(x.h == 1 and x.home is Home.MATRIX, "its input is no matrix of one row")
        sizes = (out.w, out.c, out.groups) == (x.w, 2 * self.groups, self.groups)
        self.require(out.home is Home.ITEMS and sizes and x.c % self.groups == 0, "its output is not an item a pixel")
        known = self.function not in (ReduceFunction.SUM, ReduceFunction.TOPK_MASK)
        self.require(known, f"function {self.function} is not used")

    def place(self, placer: Placer) -> None:
        """Channels in order from the first."""
        placer.read_as(self, 0, grouped_map(self.inputs[0].c, self.groups, placer.block))
        self.output.channel_map = padded_map(self.output.c, placer.block)

    @property
    def in_spans(self) -> bool:
        """Any pixels."""
        return True

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One for each span of pixels, or one of all."""
        x, item = self.inputs[0], self.groups * ITEM_BYTES // hw.block
        packets = []
        for x0, x1 in cut.spans or [(0, x.w)]:
            values = {
                "function": self.function,
                "h": self.groups,
                "m": x1 - x0,
                "blocks": x.blocks(hw.block) // self.groups,
                "channels": x.c // self.groups,
                "in_zero": x.zero_point,
                **matrix_fields("in", region(x).pixel(x0).in_groups(x.blocks(hw.block) // self.groups, self.groups)),
                "out_base": region(self.output).base + x0 * item,
            }
            packets.append(RelocatablePacket("REDUCE", values, self.node, self.op_type))
        return packets


@dataclass(eq=False)
class TopMaskOp(Op):
    """1 where a channel is among the k largest of its pixel, of equal ones the first, else 0: int8 around 0."""

    k: int

    queue = "vec"
    in_bands = False
    by_pixels = True

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        flat = inputs[0].reshape(-1, inputs[0].shape[2])
        return np.stack([numerics.topk_mask(q, self.k) for q in flat]).reshape(inputs[0].shape)

    def takes_wide(self, tensor: Tensor) -> bool:
        """The input."""
        return tensor is self.inputs[0]

    def verify(self) -> None:
        """Two matrices of one row, of one size."""
        x, out = self.inputs[0], self.output
        self.require(
            x.h == 1 and x.home is Home.MATRIX and x.same_order(out), "its output is not as large as its input"
        )
        self.require(out.planes == 1 and out.zero_point == 0, "its output is not int8 around 0")

    @property
    def pads_zero(self) -> bool:
        """Only channels are counted."""
        return True

    def place(self, placer: Placer) -> None:
        """Channels in order from the first."""
        placer.read_as(self, 0, padded_map(self.inputs[0].c, placer.block))
        self.output.channel_map = padded_map(self.output.c, placer.block)

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One."""
        x, target = self.inputs[0], region(self.output)
        values = {
            "function": ReduceFunction.TOPK_MASK,
            "h": 1,
            "m": x.w,
            "blocks": x.blocks(hw.block),
            "channels": x.c,
            "in_zero": x.zero_point,
            "k": self.k,
            **matrix_fields("in", region(x)),
            "out_base": target.base,
            "out_row_stride": target.row_stride,
            "out_pitch": target.pitch,
        }
        return [RelocatablePacket("REDUCE", values, self.node, self.op_type)]
