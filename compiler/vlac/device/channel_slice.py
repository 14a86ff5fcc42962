"""Some channel blocks of a tensor, without an instruction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlac.ir.operation import Op, Tensor

__all__ = ["ChannelSlice", "channel_blocks"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class ChannelSlice(Op):
    """Some channel blocks of the input: no instruction, the output lies in the input.

    out[y, x, c] = in[y, x, channels[c]]
    """

    channels: I64

    by_pixels = True

    @classmethod
    def of(cls, node: str, whole: Tensor, first: int, last: int, block: int) -> ChannelSlice:
        """Channel blocks [first, last) of a placed tensor."""
        channel_map = whole.known_map()[first * block : last * block]
        return cls(node, "Slice", [whole], channel_blocks(whole, first, last, block), channel_map[channel_map >= 0])

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        return inputs[0][:, :, self.channels]

    def takes_wide(self, tensor: Tensor) -> bool:
        """Any."""
        return True

    def verify(self) -> None:
        """Channels that exist, and a place in the input."""
        x, out = self.inputs[0], self.output
        self.require((x.h, x.w) == (out.h, out.w) and len(self.channels) == out.c, "its output is of another size")
        self.require(bool((self.channels < x.c).all()), "a channel does not exist")
        self.require(out.parent is x, "its output does not lie in its input")


def channel_blocks(whole: Tensor, first: int, last: int, block: int) -> Tensor:
    """Channel blocks [first, last) of a placed tensor, inside it; its channels are numbered from 0 in their order."""
    channel_map = whole.known_map()[first * block : last * block]
    real = channel_map >= 0
    channels = int(real.sum())
    shape = (1, channels, whole.h, whole.w) if len(whole.shape) == 4 else (*whole.shape[:-1], channels)
    part = whole.like(f"{whole.name}:blocks{first}", label=f"{whole.label}:blocks{first}", shape=shape)
    part.channel_map = np.where(real, np.cumsum(real) - 1, -1)
    part.parent, part.offset = whole, first
    return part
