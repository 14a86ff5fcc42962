"""Some pixels of a tensor at a time: between the scratchpads and the data space, and parts of what is whole on chip.

Not here: which pixels, and what goes to the data space (`plan/rows.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa.generated.codes import Move
from vla_isa.hardware import LINE_BYTES, HardwareConfig
from vlac.ir.cut import Cut, Span
from vlac.ir.operation import Op, Tensor
from vlac.ir.packet import Region, RelocatablePacket

__all__ = ["JoinOp", "LoadRows", "LoadWeights", "PixelSlice", "StoreRows", "StoreWeights"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class _Moved(Op):
    """The same values elsewhere."""

    in_bands = False

    def meaning(self, inputs: list[I64]) -> I64:
        """The input."""
        return inputs[0]

    def takes_wide(self, tensor: Tensor) -> bool:
        """Any."""
        return True

    @property
    def is_shown(self) -> bool:
        """It makes nothing new."""
        return False

    @property
    def pads_zero(self) -> bool:
        """Where the input does."""
        return self.inputs[0].pads_zero

    def _packet(self, values: dict[str, int], name: str) -> list[RelocatablePacket]:
        return [RelocatablePacket("COPY", {"n2": 1, "n3": 1, **values}, self.node, name)]


@dataclass(eq=False)
class LoadRows(_Moved):
    """Pixels from `first` on of a tensor in the data space."""

    first: int = 0

    queue = "load"

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        return inputs[0][:, self.first : self.first + self.output.w]

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One; n1 counts planes of channel blocks."""
        out, source, target = self.output, region(self.inputs[0]), region(self.output)
        values = {
            "move": Move.DATA_TO_ACT,
            "src": source.base + self.first * hw.act_word_bytes // LINE_BYTES,
            "dst": target.base,
            "n0": out.w,
            "n1": out.blocks(hw.block) * out.planes,
            "src_stride1": source.pitch,
            "dst_stride1": target.pitch,
        }
        return self._packet(values, "load")


@dataclass(eq=False)
class StoreRows(_Moved):
    """A matrix to its place in a tensor of the data space."""

    queue = "store"

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One; n1 counts planes of channel blocks."""
        x, source, target = self.inputs[0], region(self.inputs[0]), region(self.output)
        values = {
            "move": Move.ACT_TO_DATA,
            "src": source.base,
            "dst": target.base,
            "n0": x.w,
            "n1": x.blocks(hw.block) * x.planes,
            "src_stride1": source.pitch,
            "dst_stride1": target.pitch,
        }
        return self._packet(values, "store")


@dataclass(eq=False)
class StoreWeights(_Moved):
    """What `ToWeightsOp` does, to the data space: a weight word is B words of a channel block."""

    queue = "store"
    reads_any_order = True

    def touched_pixels(self, tensor: Tensor, block: int) -> int:
        """Whole blocks."""
        return -(-tensor.w // block) * block

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One: n1 counts channel blocks, n2 blocks of pixels."""
        x, source, target = self.inputs[0], region(self.inputs[0]), region(self.output)
        lines = hw.weight_word_bytes // LINE_BYTES
        values = {
            "move": Move.ACT_TO_DATA,
            "src": source.base,
            "dst": target.base,
            "n0": hw.block,
            "n1": x.blocks(hw.block),
            "n2": -(-x.w // hw.block),
            "src_stride1": source.pitch,
            "src_stride2": hw.block,
            "dst_stride1": lines,
            "dst_stride2": lines * target.pitch,
        }
        return self._packet(values, "store")


@dataclass(eq=False)
class LoadWeights(_Moved):
    """Weights that were computed before, from the data space."""

    queue = "wload"

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One run of words."""
        values = {
            "move": Move.DATA_TO_WEIGHT,
            "src": region(self.inputs[0]).base,
            "dst": region(self.output).base,
            "n0": self.output.row_words(hw.block),
            "n1": 1,
        }
        return self._packet(values, "load")


@dataclass(eq=False)
class PixelSlice(_Moved):
    """Some pixels of the input: no instruction, the output lies in the input."""

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        return inputs[0][:, self.output.pixel : self.output.pixel + self.output.w]

    def verify(self) -> None:
        """A place in the input."""
        self.require(self.output.parent is self.inputs[0], "its output does not lie in its input")


@dataclass(eq=False)
class JoinOp(_Moved):
    """Inputs one behind another, pixels or channels: no instruction, their makers write in place."""

    axis: int = 1

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        return np.concatenate(inputs, axis=self.axis)

    def verify(self) -> None:
        """Sizes, and places in the output."""
        out = self.output
        total = sum(t.w if self.axis == 1 else t.c for t in self.inputs)
        self.require(total == (out.w if self.axis == 1 else out.c), "its inputs have not the size of its output")
        for t in self.inputs:
            self.require(t.parent is out and t.home is out.home, f"'{t.label}' does not lie in its output")

    @property
    def pads_zero(self) -> bool:
        """Where all inputs do."""
        return all(t.pads_zero for t in self.inputs)
