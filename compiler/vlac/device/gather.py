"""GATHER: rows of a table in the data space, or of a matrix on chip, by numbers that are items; the row of a round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.generated.codes import GatherIndex, GatherMove, IndexSide, Move
from vla_isa.hardware import HardwareConfig
from vla_isa.integer import INT8
from vlac.ir.channel_maps import padded_map
from vlac.ir.cut import Cut, Span
from vlac.ir.operation import ITEM_BYTES, Home, Op, Placer, Tensor
from vlac.ir.packet import Region, RelocatablePacket

__all__ = ["COUNTER", "GatherOp", "PickOp", "StepRowOp"]

I64 = NDArray[np.int64]
COUNTER = 0  # the index register that counts the runs of a repeated model


@dataclass(eq=False)
class GatherOp(Op):
    """out[i] = table[numbers[i]].

    Inputs: numbers, a row vector of items, as 16 bytes for each pixel; a constant table [rows, channels]. The machine
    stops where a number is not one of a row.
    """

    queue = "load"
    in_bands = False

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        if self.inputs[0].c == ITEM_BYTES:
            values, _ = numerics.unpack_items(INT8.cast(inputs[0]))
        else:  # made by an operation: values and second values
            values = inputs[0][..., 0]
        rows: I64 = inputs[1][0][numerics.item_index(values)]
        return rows

    def takes_wide(self, tensor: Tensor) -> bool:
        """Any."""
        return True

    def verify(self) -> None:
        """Sizes."""
        numbers, table, out = self.inputs[0], self.inputs[1], self.output
        self.require(numbers.home is Home.ITEMS and numbers.c in (ITEM_BYTES, 2), "its numbers are no items")
        self.require(
            table.home is Home.TABLE and table.c == out.c and table.same_scale(out), "its table is of another kind"
        )
        self.require((numbers.w, 1) == (out.w, out.h), "its output has not a row for each number")

    @property
    def pads_zero(self) -> bool:
        """The table does."""
        return True

    def place(self, placer: Placer) -> None:
        """Channels in order."""
        self.inputs[1].channel_map = padded_map(self.output.c, placer.block)
        self.output.channel_map = padded_map(self.output.c, placer.block)

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One."""
        numbers, table, out = self.inputs[0], self.inputs[1], self.output
        rows, target = region(table), region(out)
        values = {
            "move": GatherMove.GATHER_DATA,
            "table_base": rows.base,
            "table_stride": rows.row_stride,
            "table_rows": table.w,
            "index_kind": GatherIndex.ITEMS,
            "index_base": region(numbers).base,
            "n": out.w,
            "words": out.blocks(hw.block) * out.planes,
            "act_base": target.base,
            "act_pitch": target.pitch,
        }
        return [RelocatablePacket("GATHER", values, self.node, self.op_type)]


@dataclass(eq=False)
class PickOp(Op):
    """out[i] = x[numbers[i]].

    Inputs: x [1, length, channels], numbers, n items. The machine stops where a number is not one of a row.
    """

    queue = "load"
    in_bands = False

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        values, _ = numerics.unpack_items(INT8.cast(inputs[1]))
        rows: I64 = inputs[0][:, numerics.item_index(values).reshape(-1)]
        return rows

    def takes_wide(self, tensor: Tensor) -> bool:
        """Any."""
        return True

    def verify(self) -> None:
        """Sizes and scales."""
        x, numbers = self.inputs
        self.require(numbers.home is Home.ITEMS and numbers.c == ITEM_BYTES, "its numbers are no items")
        self.require(
            (self.output.h, self.output.w, self.output.c) == (1, numbers.w, x.c), "its output is of other size"
        )
        self.require(x.h == 1 and x.same_scale(self.output), "its input is no matrix in the scale of its output")

    @property
    def pads_zero(self) -> bool:
        """The matrix does."""
        return self.inputs[0].pads_zero

    def place(self, placer: Placer) -> None:
        """Channels as they are."""
        self.output.channel_map = self.inputs[0].known_map()

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One for each plane of each channel block."""
        x, numbers = self.inputs
        source, target = region(x), region(self.output)
        found = []
        for plane in range(x.blocks(hw.block) * x.planes):
            values = {
                "move": GatherMove.GATHER_ACT,
                "table_base": source.base + plane * source.pitch,
                "table_stride": 1,
                "table_rows": x.w,
                "index_kind": GatherIndex.ITEMS,
                "index_base": region(numbers).base,
                "n": self.output.w,
                "words": 1,
                "act_base": target.base + plane * target.pitch,
                "act_pitch": target.pitch,
            }
            found.append(RelocatablePacket("GATHER", values, self.node, self.op_type))
        return found


@dataclass(eq=False)
class StepRowOp(Op):
    """out = table[run], where `run` is the number of the run of a repeated model.

    Input: a constant table [rows, channels], in the data space or on chip.
    """

    queue = "load"
    in_bands = False

    def meaning(self, inputs: list[I64]) -> I64:
        """Of the first run."""
        return inputs[0][:, :1]

    def takes_wide(self, tensor: Tensor) -> bool:
        """Any."""
        return True

    def verify(self) -> None:
        """Sizes."""
        table, out = self.inputs[0], self.output
        same = table.home in (Home.TABLE, Home.MATRIX) and table.c == out.c and table.same_scale(out)
        self.require(same and out.is_vector, "its output is no row of its table")

    @property
    def pads_zero(self) -> bool:
        """The table does."""
        return True

    def place(self, placer: Placer) -> None:
        """Channels in order."""
        self.inputs[0].channel_map = padded_map(self.output.c, placer.block)
        self.output.channel_map = padded_map(self.output.c, placer.block)

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One, whose source begins at the row of the run."""
        table, out = self.inputs[0], self.output
        rows, target = region(table), region(out)
        words = out.blocks(hw.block) * out.planes
        values = {"index_enable": 1, "index_register": COUNTER, "index_count": table.w}
        if table.home is Home.MATRIX:
            values |= {
                "move": Move.ACT_TO_ACT,
                "src": rows.base,
                "dst": target.base,
                "n0": 1,
                "n1": words,
                "n2": 1,
                "n3": 1,
                "src_stride1": rows.pitch,
                "dst_stride1": target.pitch,
                "index_side": IndexSide.SRC,
                "index_stride": 1,
            }
            return [RelocatablePacket("COPY", values, self.node, self.op_type)]
        values |= {
            "move": GatherMove.GATHER_DATA,
            "table_base": rows.base,
            "table_stride": rows.row_stride,
            "table_rows": 1,
            "index_kind": GatherIndex.RANGE,
            "first": 0,
            "n": 1,
            "words": words,
            "act_base": target.base,
            "act_pitch": target.pitch,
            "index_stride": rows.row_stride,
        }
        return [RelocatablePacket("GATHER", values, self.node, self.op_type)]
