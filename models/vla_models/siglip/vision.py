"""The network: a vision transformer whose norms are in front (Zhai et al. 2023, arXiv 2303.15343).

Names of its weights are those of `transformers.SiglipVisionModel`, whose pooling head is left out.
"""

from __future__ import annotations

import torch
from torch import nn

from vla_models.rdt.places import grid_places
from vla_models.siglip.sizes import TowerSizes

__all__ = ["Layer", "SiglipVision"]

_EPS = 1e-6


class Embeddings(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A token of each patch, and where it is; places begin as sines and are learned."""

    def __init__(self, sizes: TowerSizes) -> None:
        super().__init__()
        self.patch_embedding = nn.Conv2d(3, sizes.tower_width, sizes.patch, stride=sizes.patch)
        places = torch.from_numpy(grid_places(sizes.tower_width, (sizes.side, sizes.side)))
        self.position_embedding = nn.Embedding.from_pretrained(places, freeze=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Of (N, 3, S, S): (N, tokens, width), by rows."""
        tokens: torch.Tensor = self.patch_embedding(image).flatten(2).transpose(1, 2) + self.position_embedding.weight
        return tokens


class Attention(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Of all tokens among each other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.head = width // heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width) for _ in range(3))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        layers = (self.q_proj, self.k_proj, self.v_proj)
        q, k, v = (layer(x).unflatten(2, (-1, self.head)).transpose(1, 2) for layer in layers)
        found = nn.functional.scaled_dot_product_attention(q, k, v)
        joined: torch.Tensor = self.out_proj(found.transpose(1, 2).flatten(2))
        return joined


class Perceptron(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.fc2(nn.functional.gelu(self.fc1(x), approximate="tanh"))
        return found


class Layer(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Attention and a perceptron, each behind a norm and in front of a residual add."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.layer_norm1, self.layer_norm2 = (nn.LayerNorm(width, eps=_EPS) for _ in range(2))
        self.self_attn, self.mlp = Attention(width, heads), Perceptron(width, hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of tokens (N, T, width), the same."""
        x = x + self.self_attn(self.layer_norm1(x))
        y: torch.Tensor = x + self.mlp(self.layer_norm2(x))
        return y


class Encoder(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """The layers, one behind another."""

    def __init__(self, sizes: TowerSizes) -> None:
        super().__init__()
        shape = (sizes.tower_width, sizes.tower_heads, sizes.tower_hidden)
        self.layers = nn.ModuleList(Layer(*shape) for _ in range(sizes.tower_layers))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class SiglipVision(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """From a picture to tokens."""

    def __init__(self, sizes: TowerSizes) -> None:
        super().__init__()
        self.embeddings, self.encoder = Embeddings(sizes), Encoder(sizes)
        self.post_layernorm = nn.LayerNorm(sizes.tower_width, eps=_EPS)

    def forward(self, image: torch.Tensor, kept: torch.Tensor | None = None) -> torch.Tensor:
        """Tokens (N, tokens, width) of pictures (N, 3, S, S) that have the tower's normalization.

        Args:
            kept: numbers (N, K) of the patches that are seen, where not all are; there are K tokens then.
        """
        x = self.embeddings(image)
        if kept is not None:
            x = x.gather(1, kept[..., None].expand(-1, -1, x.shape[2]))
        tokens: torch.Tensor = self.post_layernorm(self.encoder(x))
        return tokens
