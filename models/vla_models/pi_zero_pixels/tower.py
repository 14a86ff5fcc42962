"""The vision tower: convolutions, a transformer over their patches, and tokens that ask it.

Convolutions in front of a transformer (Xiao et al. 2021, arXiv 2106.14881) learn faster than patches as they are;
learned queries that ask the patches are those of DETR (Carion et al. 2020, arXiv 2005.12872).
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["Tower"]


class Tower(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """From a picture to tokens.

    Args:
        channels: of the first two convolutions.
        width: of a token.
        hidden, heads, layers: of the transformer.
        place: features of a patch's place.
        tokens: how many it makes.
    """

    def __init__(
        self, channels: tuple[int, ...], width: int, hidden: int, heads: int, layers: int, place: int, tokens: int
    ) -> None:
        super().__init__()
        first, second = channels
        self.patches = nn.Sequential(
            nn.Conv2d(3, first, 4, stride=4),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(second, width, 3, stride=2, padding=1),
        )
        self.place = nn.Linear(place, width)
        shape = {"d_model": width, "nhead": heads, "dim_feedforward": hidden}
        kind = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
        layer = nn.TransformerEncoderLayer(**shape, **kind)
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.asked = nn.TransformerDecoderLayer(**shape, **kind)
        self.queries = nn.Parameter(torch.randn(tokens, width))

    def forward(self, image: torch.Tensor, patches: torch.Tensor) -> torch.Tensor:
        """Tokens (N, tokens, width).

        Args:
            image: (N, 3, S, S) in [-1, 1].
            patches: (N, S/16 * S/16, features), where the middle of each patch is, by rows.
        """
        seen = self.patches(image).flatten(2).transpose(1, 2) + self.place(patches)
        tokens: torch.Tensor = self.asked(self.queries.expand(len(image), -1, -1), self.encoder(seen))
        return tokens
