"""Experts of one joint attention: weights of their own, keys and values in common.

Gemma's layers (Gemma Team 2024, arXiv 2403.08295): RMS norms whose weight is what is added to one, rotary positions,
fewer heads of keys than of queries, a gated GELU, no biases. Blocks of tokens come one behind another; each sees itself
and all before it, whose keys and values are kept, so that the mask of pi-zero (blockwise causal) is the order of calls.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["Cache", "Expert", "RmsNorm", "rotary"]

Cache = tuple[torch.Tensor, torch.Tensor]  # keys and values (N, key heads, tokens, head width) of a layer

_BASE = 10_000.0  # of the rotary positions' periods


class RmsNorm(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """x / rms(x) * (1 + weight), over the last axis."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of x (..., width), the same shape."""
        y: torch.Tensor = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * (1 + self.weight)
        return y


def rotary(first: int, count: int, head_width: int) -> Cache:
    """Cosines and sines (count, head_width) of the positions from `first` on (Su et al. 2021, arXiv 2104.09864)."""
    half = head_width // 2
    angles = torch.outer(torch.arange(first, first + count).float(), _BASE ** -(torch.arange(half) / half))
    angles = torch.cat([angles, angles], dim=1)
    return angles.cos(), angles.sin()


def turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """x (N, heads, tokens, head width), each half of a head turned into the other."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class Layer(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Attention and a gated GELU of one expert, each in front of a residual add."""

    def __init__(self, width: int, hidden: int, heads: int, key_heads: int, head_width: int) -> None:
        super().__init__()
        self.head_width, self.shared = head_width, heads // key_heads
        self.before_attention, self.before_mlp = RmsNorm(width), RmsNorm(width)
        self.q = nn.Linear(width, heads * head_width, bias=False)
        self.k, self.v = (nn.Linear(width, key_heads * head_width, bias=False) for _ in range(2))
        self.o = nn.Linear(heads * head_width, width, bias=False)
        self.gate, self.up = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(
        self, x: torch.Tensor, places: Cache, past: Cache | None, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, Cache]:
        y = self.before_attention(x)
        q, k, v = (f(y).unflatten(2, (-1, self.head_width)).transpose(1, 2) for f in (self.q, self.k, self.v))
        q, k = (turned(t, *places) for t in (q, k))
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        keys, values = (t.repeat_interleave(self.shared, dim=1) for t in (k, v))
        attended = nn.functional.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
        x = x + self.o(attended.transpose(1, 2).flatten(2))
        y = self.before_mlp(x)
        return x + self.down(nn.functional.gelu(self.gate(y), approximate="tanh") * self.up(y)), (k, v)


class Expert(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """All layers of one expert."""

    def __init__(self, depth: int, width: int, hidden: int, heads: int, key_heads: int, head_width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(width, hidden, heads, key_heads, head_width) for _ in range(depth))

    def forward(
        self,
        x: torch.Tensor,
        places: Cache,
        past: tuple[Cache, ...] | None = None,
        mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, tuple[Cache, ...]]:
        """A block of tokens (N, tokens, width), and the keys and values up to it: of `past` and its own.

        Args:
            x: the tokens.
            places: cosines and sines of their positions, see `rotary`.
            past: of the blocks before; None where there is none.
            mask: (tokens, tokens up to and in the block), which of them each token sees; None where it sees all.
        """
        kept = []
        for number, layer in enumerate(self.layers):
            x, cache = layer(x, places, None if past is None else past[number], mask)
            kept.append(cache)
        return x, tuple(kept)
