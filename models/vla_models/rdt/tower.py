"""Tokens of a picture: convolutions of stride 2, trained with the rest, where the published policy has SigLIP."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

__all__ = ["Tower"]


class Tower(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """3x3 convolutions with ReLU, each of half the height and width; every place of the last map is a token."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((3, *channels)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        for layer in self.layers[::2]:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Of (N, 3, height, width): (N, tokens, channels)."""
        tokens: torch.Tensor = self.layers(picture).flatten(2).transpose(1, 2)
        return tokens
