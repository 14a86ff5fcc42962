"""A choice of channels; pixels stay where they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlac.device.copy_parts import wanted
from vlac.ir.operation import Op, Placer, Tensor

__all__ = ["SelectOp"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class SelectOp(Op):
    """Output channel i is input channel `channels[i]`, -1 is the integer `fill`; pixels stay where they are.

    No instruction where the input's bytes can be read under other channel numbers, else it becomes a convolution
    with a 0/1 matrix when it is placed.
    """

    channels: I64
    fill: int = 0
    is_whole: bool = False  # no position that is padding now holds a channel of the input; known when it is placed

    by_pixels = True

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        return np.where(self.channels < 0, self.fill, inputs[0][:, :, self.channels])

    def takes_wide(self, tensor: Tensor) -> bool:
        """Any."""
        return True

    def verify(self) -> None:
        """Sizes, and channels that exist."""
        x, out = self.inputs[0], self.output
        self.require((x.h, x.w) == (out.h, out.w) and len(self.channels) == out.c, "its output is of another size")
        self.require(bool((self.channels < x.c).all()), "a channel does not exist")

    def preset(self, placer: Placer) -> None:
        """Where only choices of different channels read a layer's result, each is to begin on a block of its own.

        So heads that share a projection, and queries, keys and values that do, cost no instruction.
        """
        x = self.inputs[0]
        made = x.producer
        others = [op for op in dict.fromkeys(x.consumers) if isinstance(op, SelectOp)]
        lone = len(others) == len(x.consumers) and x.parent is None
        if x.channel_map is not None or made is None or not made.writes_any_order or not lone:
            return
        parts = [op.channels for op in sorted(others, key=lambda op: int(op.channels[0]))]
        if len(parts) > 1 and np.array_equal(np.sort(np.concatenate(parts)), np.arange(x.c)):
            x.channel_map = wanted(parts, placer.block)[0]

    @property
    def pads_zero(self) -> bool:
        """Where the input has no channels either."""
        return self.is_whole and self.inputs[0].pads_zero

    def place(self, placer: Placer) -> None:
        """Read the input's bytes under other channel numbers, or make the choice a 0/1 matrix.

        The bytes stay where all of the chosen channels fill the blocks they lie in, or where a single layer
        reads them (zero weights for the others cost no more than the matrix would).
        """
        x, out, block = self.inputs[0], self.output, placer.block
        channel_map, channels = x.known_map(), self.channels
        renamed = np.full(x.c, -1, np.int64)
        kept = channels >= 0
        renamed[channels[kept]] = np.flatnonzero(kept)
        chosen = np.where(channel_map < 0, -1, renamed[channel_map])
        used = np.flatnonzero((chosen.reshape(-1, block) >= 0).any(axis=1))
        first, end = int(used[0]), int(used[-1]) + 1
        once = bool(kept.all()) and len(np.unique(channels)) == len(channels)
        dense = end - first <= -(-out.c // block)
        alone = len(out.consumers) == 1 and out.consumers[0].reads_any_order
        if once and (dense or alone) and out.parent is None and out.channel_map is None:
            out.parent, out.offset = x, first
            out.channel_map = chosen[first * block : end * block]
            self.is_whole = bool((channel_map[first * block : end * block][out.channel_map < 0] < 0).all())
        else:
            placer.by_matrix(self, channels, self.fill)
