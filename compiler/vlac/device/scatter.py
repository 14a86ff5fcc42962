"""GATHER in the other direction: rows written into a matrix on chip, by numbers that are items."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.generated.codes import GatherIndex, GatherMove, Move
from vla_isa.hardware import HardwareConfig
from vla_isa.integer import INT8
from vlac.ir.channel_maps import padded_map
from vlac.ir.cut import Cut, Span
from vlac.ir.operation import ITEM_BYTES, Home, Op, Placer, Tensor
from vlac.ir.packet import Region, RelocatablePacket

__all__ = ["ScatterOp"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class ScatterOp(Op):
    """out = x with out[numbers[i]] = rows[i].

    Inputs: x [1, length, channels], rows [1, n, channels], numbers, n items. Where nobody else reads x the rows are
    written into it, else into a copy. The machine stops where a number is not one of a row.
    """

    queue = "load"
    in_bands = False

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        out = inputs[0].copy()
        values, _ = numerics.unpack_items(INT8.cast(inputs[2]))
        out[0, numerics.item_index(values).reshape(-1)] = inputs[1][0]
        return out

    def takes_wide(self, tensor: Tensor) -> bool:
        """Any."""
        return True

    def verify(self) -> None:
        """Sizes and scales."""
        x, rows, numbers = self.inputs
        self.require(numbers.home is Home.ITEMS and numbers.c == ITEM_BYTES, "its numbers are no items")
        self.require(numbers.w == rows.w and rows.c == x.c and x.h == rows.h == 1, "its rows are of another size")
        self.require((self.output.h, self.output.w, self.output.c) == (x.h, x.w, x.c), "its output is of another size")
        self.require(x.same_scale(self.output) and rows.same_scale(self.output), "its operands have another scale")

    @property
    def pads_zero(self) -> bool:
        """Where both inputs do."""
        return all(t.pads_zero for t in self.inputs[:2])

    def nest(self, placer: Placer) -> None:
        """The output is the input, where nobody else wants that."""
        x = self.inputs[0]
        if len(x.consumers) == 1 and not placer.is_output(x) and x.parent is None and x.constant is None:
            self.output.parent = x

    def place(self, placer: Placer) -> None:
        """Channels in order."""
        self.output.channel_map = padded_map(self.output.c, placer.block)
        for index in range(2):
            placer.read_as(self, index, self.output.channel_map)
        if self.output.parent is not self.inputs[0]:
            self.output.parent = None

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One for each plane of each channel block; a copy first where the input stays."""
        x, rows, numbers = self.inputs
        target, source = region(self.output), region(rows)
        found = [] if self.output.parent is x else [_copy(region(x), target, x, hw)]
        for plane in range(x.blocks(hw.block) * x.planes):
            found.append(
                {
                    "move": GatherMove.SCATTER_ACT,
                    "table_base": target.base + plane * target.pitch,
                    "table_stride": 1,
                    "table_rows": x.w,
                    "index_kind": GatherIndex.ITEMS,
                    "index_base": region(numbers).base,
                    "n": rows.w,
                    "words": 1,
                    "act_base": source.base + plane * source.pitch,
                    "act_pitch": source.pitch,
                }
            )
        names = ["COPY" if "src" in values else "GATHER" for values in found]
        return [RelocatablePacket(n, v, self.node, self.op_type) for n, v in zip(names, found, strict=True)]


def _copy(source: Region, target: Region, x: Tensor, hw: HardwareConfig) -> dict[str, int]:
    return {
        "move": Move.ACT_TO_ACT,
        "src": source.base,
        "dst": target.base,
        "n0": x.w,
        "n1": x.blocks(hw.block) * x.planes,
        "n2": 1,
        "n3": 1,
        "src_stride1": source.pitch,
        "dst_stride1": target.pitch,
    }
