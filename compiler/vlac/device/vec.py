"""VEC: functions of one or two tensors element by element, then a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa.generated.codes import BKind, Rounding, VecFunction
from vla_isa.hardware import HardwareConfig
from vla_isa.integer import INT8
from vla_isa.numerics import apply_table, elementwise
from vlac.device.layer import check_table
from vlac.device.params import table_parameter
from vlac.device.tables import narrow
from vlac.ir.channel_maps import padded_map
from vlac.ir.cut import Cut, Parameter, Span
from vlac.ir.operation import Op, Placer, Tensor
from vlac.ir.packet import Region, RelocatablePacket, operand_fields, size_fields
from vlac.ir.records import UNIT

__all__ = ["VecOp"]

I64 = NDArray[np.int64]
_WORTH = 1024  # words that a packet of a part of the channels is worth


@dataclass(eq=False)
class VecOp(Op):
    """Elementwise `table[clamp(round_shift(f(a, b), shift) + zero)]`; see `numerics.elementwise` for each f.

    Of two inputs the second may be a vector, which is the same for every pixel; with one input b is 0. One input and
    `function` "add" with mult 2^23, shift 23 and the input's zero point is the identity, in front of a table or as a
    copy. `zero_point` is that of the result in front of the table.
    """

    function: str
    a_mult: int
    b_mult: int
    shift: int
    zero_point: int
    lo: int = INT8.lo
    hi: int = INT8.hi
    table: NDArray[np.int8] | None = None
    rounding: int = Rounding.NEAREST_EVEN

    queue = "vec"
    by_pixels = True

    @classmethod
    def identity(
        cls, node: str, op_type: str, x: Tensor, output: Tensor, table: NDArray[np.int8] | None = None
    ) -> VecOp:
        """A copy of `x`, or its values through a table."""
        return cls(node, op_type, [x], output, "add", UNIT[0], 0, UNIT[1], x.zero_point, table=table)

    def make_table(self, table: NDArray[np.int8], zero_point: int) -> None:
        """Become the identity of the input, of this zero point, in front of a table."""
        self.function, (self.a_mult, self.shift), self.b_mult = "add", UNIT, 0
        self.zero_point, self.lo, self.hi, self.table = zero_point, INT8.lo, INT8.hi, table

    # --- what it computes -----------------------------------------------------------------------------

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        second = len(self.inputs) > 1
        q = elementwise(
            self.function,
            inputs[0],
            inputs[1] if second else 0,
            a_zero=self.inputs[0].zero_point,
            b_zero=self.inputs[1].zero_point if second else 0,
            a_mult=self.a_mult,
            b_mult=self.b_mult,
            shift=self.shift,
            rounding=self.rounding,
            out_zero=self.zero_point,
            lo=self.lo,
            hi=self.hi,
        )
        return q if self.table is None else apply_table(q, self.table)

    def verify(self) -> None:
        """Sizes, function, bounds and table."""
        out = self.output
        self.require(self.function.upper() in VecFunction.__members__, f"function '{self.function}' does not exist")
        self.require(1 <= len(self.inputs) <= 2, f"it has {len(self.inputs)} inputs")
        for number, t in enumerate(self.inputs):
            row = number == 1 and t.is_vector
            self.require(t.c == out.c and (row or (t.h, t.w) == (out.h, out.w)), f"'{t.label}' is of another size")
        self.require(INT8.holds([self.zero_point, self.lo, self.hi]), "zero point or clamp is no int8")
        check_table(self, self.table)

    def multipliers(self) -> I64:
        """Of the operands that have one."""
        one = len(self.inputs) == 1 or self.function == "mul"
        return np.array([self.a_mult] if one else [self.a_mult, self.b_mult])

    def round_by(self, rounding: int) -> None:
        """Of the result in front of the table."""
        self.rounding = rounding

    def take_table(self, table: NDArray[np.int8]) -> bool:
        """One."""
        if self.table is not None:
            return False
        if not narrow(self, table):
            self.table = table
        return True

    # --- where its operands lie -----------------------------------------------------------------------

    def preset(self, placer: Placer) -> None:
        """What is wanted of the output is wanted of the first input."""
        if self.output.channel_map is not None and self.inputs[0].channel_map is None:
            self.inputs[0].channel_map = self.output.channel_map

    def place(self, placer: Placer) -> None:
        """The first input's order, in which the second must lie too."""
        a = self.inputs[0]
        if a.channel_map is None:  # a constant, on its way into a Concat
            a.channel_map = padded_map(a.c, placer.block)
        channel_map = a.known_map()
        for number, b in enumerate(self.inputs[1:], 1):
            if b.channel_map is None:
                b.channel_map = channel_map
            else:
                placer.read_as(self, number, channel_map)
        self.output.channel_map = channel_map

    def preferred(self, tensor: Tensor) -> I64 | None:
        """The other operand's order, where that is known."""
        others = (t.channel_map for t in self.inputs if t is not tensor and t.c == tensor.c)
        return next((channel_map for channel_map in others if channel_map is not None), None)

    # --- how it is cut, what it loads, its packets ----------------------------------------------------

    def joins(self, leader: Op) -> bool:
        """Behind a convolution, where the bands are worth it."""
        return leader.leads and leader.output is self.inputs[0] and self.output.h >= 4

    def parameters(self, cut: Cut, hw: HardwareConfig) -> list[Parameter]:
        """The table."""
        return [] if self.table is None else [table_parameter(self.table, hw)]

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One; of a row of pixels one for some channel blocks each, which begin when a layer in front has made them."""
        blocks = self.output.blocks(hw.block)
        if self.output.is_vector or any(t.h > 1 for t in (*self.inputs, self.output)):
            return [self._packet(cut, band, (0, blocks), region, hw)]
        step = 1 << max(0, -(-_WORTH // self.output.w) - 1).bit_length()
        return [self._packet(cut, band, (i, min(i + step, blocks)), region, hw) for i in range(0, blocks, step)]

    def _packet(
        self, cut: Cut, band: Span, blocks: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> RelocatablePacket:
        a, out = self.inputs[0], self.output
        (y0, y1), (first, last) = band, blocks
        # a vector's words follow each other, but where it is the last pixel of a matrix: one row of so many pixels
        packed = out.is_vector and all(region(t).pitch == 1 for t in (*self.inputs, out))
        w, count = (last - first, 1) if packed else (out.w, last - first)
        values = {
            "function": VecFunction[self.function.upper()],
            "b_kind": BKind.SCALAR,
            **operand_fields("a", region(a), y0, first),
            **operand_fields("out", region(out), y0, first),
            **size_fields("out", y1 - y0, w, count),
            "a_zero": a.zero_point,
            "a_mult": self.a_mult,
            "b_mult": self.b_mult,
            "shift": self.shift,
            "rounding": self.rounding,
            "out_zero": self.zero_point,
            "lo": self.lo,
            "hi": self.hi,
        }
        if len(self.inputs) > 1:
            b = self.inputs[1]
            row = b.is_vector and not out.is_vector
            values |= {
                "b_kind": BKind.ROW if row else BKind.TENSOR,
                "b_zero": b.zero_point,
                **operand_fields("b", region(b), 0 if row else y0, first),
            }
        relocations = cut.params.table_base(values)
        return RelocatablePacket("VEC", values, self.node, self.op_type, relocations=relocations)
