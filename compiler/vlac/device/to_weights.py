"""COPYs that make a computed tensor the second operand of a product: into weight words, and the byte transpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa.generated.codes import Move, Unit
from vla_isa.hardware import HardwareConfig
from vlac.ir.channel_maps import padded_map
from vlac.ir.cut import Cut, Span
from vlac.ir.operation import Home, Op, Placer, Tensor
from vlac.ir.packet import Region, RelocatablePacket

__all__ = ["ToWeightsOp", "TransposeOp"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class ToWeightsOp(Op):
    """Pixels become output channels: weight word (n, k) holds channel block k of pixels n * B to n * B + B - 1.

    The last word also holds what lies behind the last pixel, which nobody counts.
    """

    queue = "wload"
    reads_any_order = True
    in_bands = False

    def meaning(self, inputs: list[I64]) -> I64:
        """The same values, as output channels by input channels."""
        return inputs[0]

    def verify(self) -> None:
        """The same values in another memory."""
        x, out = self.inputs[0], self.output
        self.require(
            out.home is Home.WEIGHTS and (out.w, out.c) == (x.w, x.c), "its output is not its input in weights"
        )
        self.require(x.h == 1 and x.planes == 1 and x.same_scale(out), "its input is no int8 matrix")

    @property
    def pads_zero(self) -> bool:
        """Where the input does."""
        return self.inputs[0].pads_zero

    def place(self, placer: Placer) -> None:
        """Channels as they lie."""
        self.output.channel_map = self.inputs[0].known_map()

    def touched_pixels(self, tensor: Tensor, block: int) -> int:
        """Whole blocks."""
        return -(-tensor.w // block) * block

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One: n1 counts channel blocks, n2 blocks of pixels."""
        x, source, target = self.inputs[0], region(self.inputs[0]), region(self.output)
        blocks = x.blocks(hw.block)
        values = {
            "move": Move.ACT_TO_WEIGHT,
            "src": source.base,
            "dst": target.base,
            "n0": 1,
            "n1": blocks,
            "n2": -(-x.w // hw.block),
            "n3": 1,
            "src_stride1": source.pitch,
            "src_stride2": hw.block,
            "dst_stride1": 1,
            "dst_stride2": target.pitch,
        }
        return [RelocatablePacket("COPY", values, self.node, self.op_type)]


@dataclass(eq=False)
class TransposeOp(Op):
    """out[c, w] = in[w, c]: squares of B words whose bytes are transposed.

    Channels behind the last pixel of the input hold what lies there, which nobody counts.
    """

    queue = "load"
    in_bands = False

    @property
    def is_shown(self) -> bool:
        """It makes nothing new."""
        return False

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        return inputs[0].transpose(0, 2, 1)

    def verify(self) -> None:
        """Sizes."""
        x, out = self.inputs[0], self.output
        self.require(x.h == out.h == 1 and (x.w, x.c) == (out.c, out.w), "its output is not its input transposed")
        self.require(x.planes == 1 and x.same_scale(out), "its input is no int8 matrix")

    def place(self, placer: Placer) -> None:
        """Channels and pixels in order."""
        self.output.channel_map = padded_map(self.output.c, placer.block)
        placer.read_as(self, 0, padded_map(self.inputs[0].c, placer.block))

    def touched_pixels(self, tensor: Tensor, block: int) -> int:
        """Whole blocks."""
        return -(-tensor.w // block) * block

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One: n0 counts blocks of pixels of the input, n1 its channel blocks."""
        x, source, target, b = self.inputs[0], region(self.inputs[0]), region(self.output), hw.block
        values = {
            "move": Move.ACT_TO_ACT,
            "unit": Unit.TRANSPOSE,
            "src": source.base,
            "dst": target.base,
            "n0": 1,
            "n1": -(-x.w // b),
            "n2": x.blocks(b),
            "n3": 1,
            "src_stride1": b,
            "src_stride2": source.pitch,
            "dst_stride1": target.pitch,
            "dst_stride2": b,
        }
        return [RelocatablePacket("COPY", values, self.node, self.op_type)]
