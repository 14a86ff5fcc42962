"""The tower, and what it is trained with: a masked autoencoder (He et al. 2021, arXiv 2111.06377).

Most patches of a picture are hidden; a tower that has to say what they look like learns what is in pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from vla_datasets.keys import image
from vla_models.policy import Batch, GraphSpec
from vla_models.siglip.pixels import network_pictures, window_pictures
from vla_models.siglip.vision import SiglipVision
from vla_models.siglip_tower.config import SiglipTowerConfig
from vla_models.siglip_tower.decoder import Decoder
from vla_models.siglip_tower.names import IMAGE_INPUT, TOKENS

__all__ = ["SiglipTower"]

_LEAST_VARIANCE = 1e-6  # of a patch's pixels


class SiglipTower(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """`forward` is the autoencoder; what is exported is its tower."""

    def __init__(self, config: SiglipTowerConfig) -> None:
        super().__init__()
        self.config = config
        key = image(config.camera)
        self.windows = {key: (0,)}
        self.image_sides = {key: config.image_size}
        self.tower, self.decoder = SiglipVision(config), Decoder(config)

    def forward(self, picture: torch.Tensor, seen: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """What hidden patches look like, (N, H, 3 * patch * patch), as `patches` makes them.

        Args:
            picture: (N, 3, S, S).
            seen: numbers (N, K) of the patches that the tower sees.
            hidden: numbers (N, H) of the others.
        """
        found: torch.Tensor = self.decoder(self.tower(picture, seen), seen, hidden)
        return found

    def graphs(self) -> tuple[GraphSpec, ...]:
        """One graph: from a picture to tokens."""
        return (GraphSpec("policy", self.tower, self._example, (TOKENS,)),)

    def _example(self, batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
        side, generator = self.config.image_size, torch.Generator().manual_seed(seed)
        return {IMAGE_INPUT: torch.rand(batch, 3, side, side, generator=generator) * 2 - 1}

    def prepare(self, samples: Mapping[str, Any]) -> Batch:
        """Pictures, and what their patches look like (N, tokens, 3 * patch * patch)."""
        pictures = torch.from_numpy(network_pictures(self.config, window_pictures(self.config, samples)))
        pictures = pictures.to(samples[image(self.config.camera)].device)
        return Batch({IMAGE_INPUT: pictures}, patches(pictures, self.config.patch))


def patches(pictures: torch.Tensor, patch: int) -> torch.Tensor:
    """Of (N, 3, S, S) each patch's pixels, of mean 0 and deviation 1: (N, tokens, 3 * patch * patch), by rows.

    Pixels without their patch's mean and deviation are what the paper learns best from.
    """
    cut = pictures.unfold(2, patch, patch).unfold(3, patch, patch)  # (N, 3, rows, columns, patch, patch)
    rows = cut.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    variance, mean = torch.var_mean(rows, dim=2, keepdim=True)
    found: torch.Tensor = (rows - mean) / (variance + _LEAST_VARIANCE).sqrt()
    return found
