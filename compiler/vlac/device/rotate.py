"""ROW over the heads of a tensor: products with a table that all heads share, for rotary positions.

A head's rotated channels lie as two halves, each from a channel block on, so that exchanging the halves is an address.
Where a layer in front has exchanged them, a head is one part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.generated.codes import OperandKind, Rounding, RowFunction
from vla_isa.hardware import HardwareConfig
from vla_isa.integer import INT8
from vlac.device.copy_parts import wanted
from vlac.ir.cut import Cut, Span
from vlac.ir.operation import Op, Placer, Tensor
from vlac.ir.packet import Region, RelocatablePacket, matrix_fields

__all__ = ["RotateOp"]

I64 = NDArray[np.int64]
_WORTH = 64  # words of a half that a packet is worth


@dataclass(eq=False)
class RotateOp(Op):
    """`clamp(round_shift(a * table * mult + (c << c_shift) * c_mult, shift))` for each head.

    Inputs: x [w, heads * d], a table int8 [w, d] of all heads, perhaps c int16 [w, heads * d]. With `exchanged`, a is x
    with the halves of every head exchanged: a[halves[0]] = x[halves[1]] and the other way round; else a is x.

    Attributes:
        halves: the channels of a head in two halves of one length; or in one part, of which nothing is exchanged.
    """

    heads: int
    halves: tuple[I64, ...]
    exchanged: bool
    mult: int
    shift: int
    c_mult: int = 0
    c_shift: int = 0
    rounding: int = Rounding.NEAREST_EVEN

    queue = "vec"
    in_bands = False
    by_pixels = True

    @property
    def is_shown(self) -> bool:
        """Not the int16 in between, whose channels lie as the halves do."""
        return self.output.planes == 1

    # --- what it computes -----------------------------------------------------------------------------

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        x, table = inputs[:2]
        h, w, c = x.shape
        a = x.reshape(h, w, self.heads, -1)
        if self.exchanged:
            first, second = self.halves
            turned = np.empty_like(a)
            turned[..., first], turned[..., second] = a[..., second], a[..., first]
            a = turned
        third = inputs[2].reshape(a.shape) if len(inputs) > 2 else np.zeros(1, np.int64)
        scales = {"a_mult": self.mult, "c_mult": self.c_mult, "c_shift": self.c_shift, "shift": self.shift}
        p = numerics.product(a, table[:, :, None], third, **scales, rounding=self.rounding).reshape(h, w, c)
        return numerics.saturate16(p) if self.output.planes == 2 else numerics.clamp(p, INT8.lo, INT8.hi)

    def takes_wide(self, tensor: Tensor) -> bool:
        """Any."""
        return True

    def verify(self) -> None:
        """Sizes, and everything around 0."""
        x, table, out = self.inputs[0], self.inputs[1], self.output
        self.require(len({len(half) for half in self.halves}) == 1, "its halves are not of one length")
        self.require(not self.exchanged or len(self.halves) == 2, "it exchanges what are no halves")
        every = np.sort(np.concatenate(self.halves))
        self.require(np.array_equal(every, np.arange(x.c // self.heads)), "its halves are not a head")
        self.require(x.h == 1 and (table.w, table.c) == (x.w, len(every)), "its table is not of a head")
        self.require(all((t.w, t.c) == (x.w, x.c) for t in (out, *self.inputs[2:])), "a tensor is of another size")
        self.require(all(t.zero_point == 0 for t in (*self.inputs, out)), "a tensor is not around 0")
        self.require(x.planes == table.planes == 1, "x or its table is not int8")

    def multipliers(self) -> I64:
        """Those of product and sum."""
        return np.array([m for m in (self.mult, self.c_mult) if m])

    def round_by(self, rounding: int) -> None:
        """Of the result."""
        self.rounding = rounding

    # --- where its operands lie -----------------------------------------------------------------------

    @property
    def pads_zero(self) -> bool:
        """As ROW does."""
        return True

    def _map(self, heads: int, block: int) -> I64:
        d = len(self.halves) * len(self.halves[0])
        return wanted([h * d + half for h in range(heads) for half in self.halves], block)[0]

    def preset(self, placer: Placer) -> None:
        """A layer that only this operation reads writes the halves as they must lie."""
        x = self.inputs[0]
        free = x.producer is not None and x.producer.writes_any_order and x.parent is None
        if free and x.channel_map is None and all(isinstance(op, RotateOp) for op in x.consumers):
            x.channel_map = self._map(self.heads, placer.block)

    def place(self, placer: Placer) -> None:
        """Every half from a channel block on."""
        for number, t in enumerate(self.inputs):
            channel_map = self._map(1 if number == 1 else self.heads, placer.block)
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

    def joins(self, leader: Op) -> bool:
        """The second product behind the first, heads by heads."""
        return isinstance(leader, RotateOp) and leader.output in self.inputs and leader.heads == self.heads

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One for each half of some heads, which are its rows."""
        words = self.output.w * -(-len(self.halves[0]) // hw.block)
        step = 1 << max(0, -(-_WORTH // words) - 1).bit_length()
        out = []
        for first in range(0, self.heads, step):
            out += self._of_heads((first, min(first + step, self.heads)), region, hw)
        return out

    def _of_heads(self, heads: Span, region: Callable[[Tensor], Region], hw: HardwareConfig) -> list[RelocatablePacket]:
        """The halves of some heads."""
        blocks, first = -(-len(self.halves[0]) // hw.block), len(self.halves) * heads[0]
        out = []
        for half in range(len(self.halves)):
            source = 1 - half if self.exchanged else half
            values = {
                "function": RowFunction.MUL,
                "h": heads[1] - heads[0],
                "m": self.output.w,
                "blocks": blocks,
                "channels": len(self.halves[0]),
                "a_mult": self.mult,
                "c_mult": self.c_mult,
                "c_shift": self.c_shift,
                "shift": self.shift,
                "rounding": self.rounding,
                **({"lo": INT8.lo, "hi": INT8.hi} if self.output.planes == 1 else {}),
                **self._heads("a", region(self.inputs[0]), first + source, blocks),
                **self._heads("out", region(self.output), first + half, blocks),
                **matrix_fields("b", region(self.inputs[1]), half * blocks, kind=OperandKind.TENSOR),
                "b_row_stride": 0,
            }
            for c in self.inputs[2:]:
                part = self._heads("c", region(c), first + half, blocks)
                values |= {"c_kind": OperandKind.TENSOR, **part}
            out.append(RelocatablePacket("ROW", values, self.node, self.op_type))
        return out

    def _heads(self, role: str, r: Region, half: int, blocks: int) -> dict[str, int]:
        """Half of a head by its number; rows of the matrix are heads."""
        values = matrix_fields(role, r, half * blocks)
        values[f"{role}_row_stride"] = len(self.halves) * blocks * r.planes * r.pitch
        return values
