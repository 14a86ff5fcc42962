"""What masked patches look like, of the tokens of those that are seen. Training alone has it."""

from __future__ import annotations

import torch
from torch import nn

from vla_models.rdt.places import grid_places
from vla_models.siglip.vision import Layer
from vla_models.siglip_tower.config import SiglipTowerConfig

__all__ = ["Decoder"]


class Decoder(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A small transformer over the tokens of seen patches and one learned token in the place of each hidden one."""

    def __init__(self, config: SiglipTowerConfig) -> None:
        super().__init__()
        c = config
        self.narrow = nn.Linear(c.tower_width, c.decoder_width)
        self.hidden = nn.Parameter(0.02 * torch.randn(c.decoder_width))
        places = torch.from_numpy(grid_places(c.decoder_width, (c.side, c.side)))
        self.register_buffer("places", places, persistent=False)
        shape = (c.decoder_width, c.decoder_heads, 4 * c.decoder_width)
        self.layers = nn.Sequential(*(Layer(*shape) for _ in range(c.decoder_layers)))
        self.norm, self.pixels = nn.LayerNorm(c.decoder_width), nn.Linear(c.decoder_width, 3 * c.patch**2)

    def forward(self, tokens: torch.Tensor, seen: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Pixels (N, H, 3 * patch * patch) of hidden patches.

        Args:
            tokens: (N, K, width), of the tower.
            seen: numbers (N, K) of their patches.
            hidden: numbers (N, H) of the others.
        """
        known = self.narrow(tokens) + self.places[seen]
        x = self.layers(torch.cat([known, self.hidden + self.places[hidden]], dim=1))
        found: torch.Tensor = self.pixels(self.norm(x[:, seen.shape[1] :]))
        return found
