"""ROW over heads that a layer made twice, as they are and with their halves exchanged: rotary positions.

The two lie one behind the other, as do a table's cosines and signed sines, so that both products are one instruction.
Not here: heads whose halves are exchanged by addresses (`rotate.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.generated.codes import Element, OperandKind, Rounding, RowFunction
from vla_isa.hardware import HardwareConfig
from vla_isa.integer import INT8
from vlac.device.copy_parts import wanted
from vlac.ir.cut import Cut, Span
from vlac.ir.operation import Op, Placer, Tensor
from vlac.ir.packet import Region, RelocatablePacket, matrix_fields

__all__ = ["RotatePairsOp"]

I64 = NDArray[np.int64]
_FIRST, _WORTH = 34, 51  # words of the output that the first packet is worth, and another


@dataclass(eq=False)
class RotatePairsOp(Op):
    """`clamp(round_shift((x * cos + turned * sin) * mult, shift))` for each head.

    Inputs: x and turned int8 [w, heads * 2 * d], head by head; cos and sin int8 [w, 2 * d] of all heads.
    """

    heads: int
    mult: int
    shift: int
    rounding: int = Rounding.NEAREST_EVEN

    queue = "vec"
    in_bands = False
    by_pixels = True
    reads_pairs = True

    # --- what it computes -----------------------------------------------------------------------------

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        x, table = inputs
        h, w, c = x.shape
        p = (x.reshape(h, w, self.heads, 2, -1) * table.reshape(h, w, 1, 2, -1)).sum(axis=3)
        p = numerics.round_shift(p * self.mult, self.shift, self.rounding)
        return numerics.clamp(p, INT8.lo, INT8.hi).reshape(h, w, c // 2)

    def verify(self) -> None:
        """Sizes, and everything around 0."""
        x, table, out = self.inputs[0], self.inputs[1], self.output
        self.require(x.c == 2 * out.c == table.c * self.heads, "its tensors are not of so many heads")
        self.require(x.h == 1 and x.w == table.w == out.w, "a tensor is of another size")
        self.require(all(t.zero_point == 0 for t in (x, table, out)), "a tensor is not around 0")
        self.require(x.planes == table.planes == out.planes == 1, "a tensor is not int8")

    def multipliers(self) -> I64:
        """That of the sum."""
        return np.array([self.mult])

    def round_by(self, rounding: int) -> None:
        """Of the result."""
        self.rounding = rounding

    # --- where its operands lie -----------------------------------------------------------------------

    @property
    def pads_zero(self) -> bool:
        """As ROW does."""
        return True

    def _map(self, parts: int, block: int) -> I64:
        d = self.output.c // self.heads
        return wanted([n * d + np.arange(d) for n in range(parts)], block)[0]

    def preset(self, placer: Placer) -> None:
        """The layer in front writes its channels as they must lie."""
        x = self.inputs[0]
        if x.channel_map is None and x.producer is not None and x.producer.writes_any_order:
            x.channel_map = self._map(2 * self.heads, placer.block)

    def place(self, placer: Placer) -> None:
        """Every head from a channel block on."""
        for number, parts in ((0, 2 * self.heads), (1, 2)):
            t, channel_map = self.inputs[number], self._map(parts, placer.block)
            if t.channel_map is None:
                t.channel_map = channel_map
            else:
                placer.read_as(self, number, channel_map)
        self.output.channel_map = self._map(self.heads, placer.block)

    # --- how it is cut, its packets ---------------------------------------------------------------------

    @property
    def in_spans(self) -> bool:
        """Some heads at a time, which begin when the layer in front has made their channels."""
        return True

    @property
    def _spans(self) -> list[Span]:
        """Heads of a packet: of the first, for which the array waits, as few as are worth it."""
        first, others = (max(1, round(words / self.output.w)) for words in (_FIRST, _WORTH))
        starts = [0, *range(first, self.heads, others), self.heads]
        return list(pairwise(starts))

    @property
    def first_blocks(self) -> int:
        """Channel blocks of x that the first packet reads."""
        return 2 * self._spans[0][1]

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One for some heads, which are its rows."""
        return [self._of_heads(heads, region) for heads in self._spans]

    def _of_heads(self, heads: Span, region: Callable[[Tensor], Region]) -> RelocatablePacket:
        """A head is one channel block of the output, two of the input: the bytes of one of int16."""
        x, table, out = region(self.inputs[0]), region(self.inputs[1]), region(self.output)
        values = {
            "function": RowFunction.PAIRS,
            "h": heads[1] - heads[0],
            "m": self.output.w,
            "blocks": 1,
            "channels": self.output.c // self.heads,
            "a_mult": self.mult,
            "shift": self.shift,
            "rounding": self.rounding,
            "lo": INT8.lo,
            "hi": INT8.hi,
            **matrix_fields("a", x, 2 * heads[0]),
            "a_bytes": Element.INT16,
            "a_row_stride": 2 * x.pitch,
            **matrix_fields("b", table, kind=OperandKind.TENSOR),
            "b_bytes": Element.INT16,
            "b_row_stride": 0,
            **matrix_fields("out", out, heads[0]),
            "out_row_stride": out.pitch,
        }
        return RelocatablePacket("ROW", values, self.node, self.op_type)
