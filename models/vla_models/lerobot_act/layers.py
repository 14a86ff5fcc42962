"""Layers of LeRobot's ACT, as in the published code (Zhao et al. 2023, arXiv 2304.13705).

Other than in `nn.Transformer` places are added to the queries and keys of each layer, and not to the values.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

__all__ = ["DecoderLayer", "EncoderLayer", "image_places"]

_LONGEST = 10_000.0  # period of the places' waves, in 2 pi


class _Attention(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Queries and keys with their places, values without."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        attended: torch.Tensor = self.attention(query, key, value, need_weights=False)[0]
        return attended


class _Layer(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """What both kinds have: attention among the tokens, two linear layers, residual adds.

    Args:
        width: of a token.
        heads: of the attention.
        hidden: between the two linear layers.
        activation: torch's name of it.
        norm_first: whether norms are in front, or behind the adds.
    """

    def __init__(self, width: int, heads: int, hidden: int, activation: str, norm_first: bool) -> None:
        super().__init__()
        self.self_attn = _Attention(width, heads)
        self.linear1, self.linear2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.activation, self.norm_first = getattr(nn.functional, activation), norm_first

    def _among(self, x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return self._added(x, self.norm1, lambda y: self.self_attn(y + places, y + places, y))

    def _mlp(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.linear2(self.activation(self.linear1(x)))
        return y

    def _added(self, x: torch.Tensor, norm: nn.Module, part: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        added: torch.Tensor = x + part(norm(x)) if self.norm_first else norm(x + part(x))
        return added


class EncoderLayer(_Layer):
    """Attention and two linear layers."""

    def forward(self, x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Of tokens (N, S, width) with places (S, width), the same shape."""
        return self._added(self._among(x, places), self.norm2, self._mlp)


class DecoderLayer(_Layer):
    """Between the two parts one more attention, to what the encoder says."""

    def __init__(self, width: int, heads: int, hidden: int, activation: str, norm_first: bool) -> None:
        super().__init__(width, heads, hidden, activation, norm_first)
        self.multihead_attn, self.norm3 = _Attention(width, heads), nn.LayerNorm(width)

    def forward(
        self, x: torch.Tensor, places: torch.Tensor, seen: torch.Tensor, seen_places: torch.Tensor
    ) -> torch.Tensor:
        """Of (N, T, width) with places (T, width), the same shape.

        Args:
            x: what is known of each action.
            places: which action it is.
            seen: (N, S, width), the encoder's.
            seen_places: (S, width).
        """
        x = self._added(
            self._among(x, places), self.norm2, lambda y: self.multihead_attn(y + places, seen + seen_places, seen)
        )
        return self._added(x, self.norm3, self._mlp)


def image_places(size: tuple[int, ...], width: int) -> torch.Tensor:
    """Places of an image's features (rows * columns, width): waves of the row, then of the column, from 0 to 2 pi.

    Args:
        size: rows and columns.
        width: of a place.
    """
    (rows, columns), half = size, width // 2
    periods = _LONGEST ** (2 * (torch.arange(half) // 2) / half)

    def waves(count: int) -> torch.Tensor:
        at = torch.arange(1, count + 1).float()
        angles = (at / (count + 1e-6) * (2 * math.pi))[:, None] / periods
        return torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], dim=-1).flatten(1)

    down, across = waves(rows)[:, None].expand(-1, columns, -1), waves(columns)[None].expand(rows, -1, -1)
    return torch.cat([down, across], dim=-1).flatten(0, 1)
