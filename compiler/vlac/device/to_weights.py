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

    The last word also holds what lies behind the last pixel, which nobody counts. With `heads`, the channels of each
    head, it is done for every head: the input's channel blocks from `first` on are those of one head after another, and
    so are the output's pixels, those of each head in whole words.
    """

    heads: tuple[I64, ...] = ()
    first: int = 0

    queue = "wload"
    reads_any_order = True
    in_bands = False

    def meaning(self, inputs: list[I64]) -> I64:
        """The same values, as output channels by input channels."""
        if not self.heads:
            return inputs[0]
        empty = np.zeros((1, self.output.w // len(self.heads) - self.inputs[0].w, self.output.c), np.int64)
        return np.concatenate([x for head in self.heads for x in (inputs[0][:, :, head], empty)], axis=1)

    def verify(self) -> None:
        """The same values in another memory."""
        x, out = self.inputs[0], self.output
        sizes = (out.w, out.c) == (x.w, x.c) if not self.heads else out.c == len(self.heads[0])
        self.require(out.home is Home.WEIGHTS and sizes, "its output is not its input in weights")
        self.require(x.h == 1 and x.planes == 1 and x.same_scale(out), "its input is no int8 matrix")

    @property
    def pads_zero(self) -> bool:
        """Where the input does."""
        return self.inputs[0].pads_zero

    def place(self, placer: Placer) -> None:
        """Channels as they lie; those of constants in order."""
        x = self.inputs[0]
        if x.channel_map is None:
            x.channel_map = padded_map(x.c, placer.block)
        self.output.channel_map = self.inputs[0].known_map()

    def touched_pixels(self, tensor: Tensor, block: int) -> int:
        """Whole blocks."""
        return -(-tensor.w // block) * block

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One: n1 counts channel blocks, n2 blocks of pixels."""
        x, source, target = self.inputs[0], region(self.inputs[0]), region(self.output)
        blocks, keys = self.output.blocks(hw.block), -(-x.w // hw.block)
        values = {
            "move": Move.ACT_TO_WEIGHT,
            "src": source.block(self.first),
            "dst": target.base,
            "n0": 1,
            "n1": blocks,
            "n2": keys,
            "n3": len(self.heads) or 1,
            **({"src_stride3": blocks * source.pitch, "dst_stride3": keys * target.pitch} if self.heads else {}),
            "src_stride1": source.pitch,
            "src_stride2": hw.block,
            "dst_stride1": 1,
            "dst_stride2": target.pitch,
        }
        return [RelocatablePacket("COPY", values, self.node, self.op_type)]


@dataclass(eq=False)
class TransposeOp(Op):
    """out[c, w] = in[w, c]: squares of B words whose bytes are transposed, each byte plane for itself.

    Channels behind the last pixel of the input hold what lies there, which nobody counts. With `positions` the output's
    pixels are the input's channel positions from block `first` on, of which `positions` are the channels, -1 none.
    """

    positions: I64 | None = None
    first: int = 0

    queue = "load"
    in_bands = False

    @property
    def is_shown(self) -> bool:
        """It makes nothing new."""
        return False

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        if self.positions is None:
            return inputs[0].transpose(0, 2, 1)
        return np.where(self.positions < 0, 0, inputs[0][:, :, self.positions]).transpose(0, 2, 1)

    def verify(self) -> None:
        """Sizes."""
        x, out = self.inputs[0], self.output
        pixels = x.c if self.positions is None else len(self.positions)
        self.require(x.h == out.h == 1 and (x.w, pixels) == (out.c, out.w), "its output is not its input transposed")
        self.require(x.same_scale(out), "its output has another scale")

    def takes_wide(self, tensor: Tensor) -> bool:
        """Any."""
        return True

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
        """One for each plane: n0 counts blocks of pixels of the input, n1 its channel blocks."""
        x, source, target, b = self.inputs[0], region(self.inputs[0]), region(self.output), hw.block
        packets = []
        for plane in range(x.planes):
            values = {
                "move": Move.ACT_TO_ACT,
                "unit": Unit.TRANSPOSE,
                "src": source.block(self.first) + plane * source.pitch,
                "dst": target.base + plane * target.pitch,
                "n0": 1,
                "n1": -(-x.w // b),
                "n2": -(-self.output.w // b),
                "n3": 1,
                "src_stride1": b,
                "src_stride2": x.planes * source.pitch,
                "dst_stride1": x.planes * target.pitch,
                "dst_stride2": b,
            }
            packets.append(RelocatablePacket("COPY", values, self.node, self.op_type))
        return packets
