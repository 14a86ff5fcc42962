"""What the cell policies are made of: one convolution for the cells of all frames, and FiLM.

FiLM: Perez et al., "FiLM: Visual Reasoning with a General Conditioning Layer", AAAI 2018.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from vla_models.babyai_cnn.config import FRAMES, IMAGE_SIZE

__all__ = ["CELL", "SIDE", "CellFeatures", "Film"]

CELL = 8  # pixels of a cell of the grid, both sides
SIDE = IMAGE_SIZE // CELL


class CellFeatures(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A convolution 8x8 of stride 8 with equal weights for each of the stacked frames."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, features, CELL, stride=CELL)

    def forward(self, image: torch.Tensor, tiles: torch.Tensor | None = None) -> torch.Tensor:
        """Features (N, frames * features, 7, 7), frame by frame.

        Args:
            image: (N, 12, 56, 56), or of `tiles` their numbers (N, 4, 7, 7).
            tiles: (T, 3, 8, 8), all cells that occur. The sums are those of the pixels, but each cell is computed once.
        """
        if tiles is None:
            weight, bias = self.conv.weight.repeat(FRAMES, 1, 1, 1), self.conv.bias.repeat(FRAMES)
            return functional.conv2d(image, weight, bias, stride=CELL, groups=FRAMES)
        table = self.conv(tiles).flatten(1)
        found = functional.embedding(image.permute(0, 2, 3, 1), table)  # (N, 7, 7, frames, features)
        return found.flatten(3).permute(0, 3, 1, 2)


class Film(nn.Module):  # type: ignore[misc]
    """x * scale + shift of each channel, both linear in the features of a condition.

    Args:
        condition: features of the condition.
        channels: of x.
        repeats: groups of channels side by side that get the same.
    """

    def __init__(self, condition: int, channels: int, repeats: int = 1) -> None:
        super().__init__()
        self.scale, self.shift = nn.Linear(condition, channels), nn.Linear(condition, channels)
        self.repeats = repeats
        with torch.no_grad():
            self.scale.bias += 1.0  # near the identity at first

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """(N, channels * repeats, H, W) of x of that shape and a condition (N, features)."""
        scale, shift = (
            functional.linear(condition, layer.weight.repeat(self.repeats, 1), layer.bias.repeat(self.repeats))
            for layer in (self.scale, self.shift)
        )
        return x * scale[:, :, None, None] + shift[:, :, None, None]
