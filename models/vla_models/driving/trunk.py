"""The convolutions of the driving policies: 3x3, padding 1, ReLU, whose blocks of output channels may be gated off."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

__all__ = ["ConvTrunk", "map_sides"]


def map_sides(side: int, strides: Sequence[int]) -> tuple[int, ...]:
    """Sides of the maps behind each convolution of an image."""
    sides = []
    for stride in strides:
        side = (side - 1) // stride + 1
        sides.append(side)
    return tuple(sides)


class ConvTrunk(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Convolutions one after another.

    Args:
        in_channels: of the image.
        channels: of each convolution.
        strides: of each.
        side: pixels of the image.
        bias: whether they have one.

    Attributes:
        macs: multiply-accumulates of each convolution.
    """

    def __init__(
        self, in_channels: int, channels: Sequence[int], strides: Sequence[int], side: int, bias: bool = True
    ) -> None:
        super().__init__()
        ins = (in_channels, *channels[:-1])
        self.convs = nn.ModuleList(
            nn.Conv2d(i, o, 3, stride=s, padding=1, bias=bias) for i, o, s in zip(ins, channels, strides, strict=True)
        )
        sides = map_sides(side, strides)
        self.macs = tuple(i * o * 9 * s * s for i, o, s in zip(ins, channels, sides, strict=True))
        for conv in self.convs:  # He et al. 2015: the variance stays through the ReLUs
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")

    def forward(self, image: torch.Tensor, masks: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        """The last map (N, C, S, S).

        Args:
            image: (N, in_channels, side, side).
            masks: per convolution (N, C), what its channels are multiplied by; None: nothing.
        """
        x = image
        for number, conv in enumerate(self.convs):
            x = torch.relu(conv(x))
            if masks is not None:
                x = x * masks[number][:, :, None, None]
        return x
