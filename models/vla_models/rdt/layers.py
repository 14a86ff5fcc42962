"""RDT's layers: attention whose queries and keys have norms, and multilayer perceptrons with a GELU.

Liu et al. 2024 (arXiv 2410.07864). Norms are RMS norms, in front of each part of a block and, by head, behind the
projections of queries and keys, so that logits stay small whatever the conditions are. A block attends its own tokens,
then the words or the pictures, whose keys and values it makes once for all steps of a sampler.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

__all__ = ["Block", "Cache", "Perceptron", "rms_norm"]

Cache = tuple[torch.Tensor, torch.Tensor]  # keys and values (N, heads, tokens, width of a head) of a condition


def rms_norm(width: int) -> nn.Module:
    """x / rms(x) * weight, over the last axis."""
    return nn.RMSNorm(width, eps=1e-6)


class Perceptron(nn.Sequential):  # type: ignore[misc]  # torch is untyped here
    """Linear layers from width to width, with a GELU between two of them."""

    def __init__(self, *widths: int) -> None:
        layers: list[nn.Module] = []
        for before, width in pairwise(widths):
            layers += [nn.Linear(before, width), nn.GELU(approximate="tanh")]
        super().__init__(*layers[:-1])


class Attention(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """What attention of own tokens and of a condition share."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.head = width // heads
        self.q_norm, self.k_norm = rms_norm(self.head), rms_norm(self.head)
        self.o = nn.Linear(width, width)

    def split(self, x: torch.Tensor) -> torch.Tensor:
        """(N, tokens, width) to (N, heads, tokens, width of a head)."""
        return x.unflatten(2, (-1, self.head)).transpose(1, 2)

    def attended(self, q: torch.Tensor, cache: Cache, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Of queries that have their norm; `mask` (N, 1, 1, tokens) is True for the keys that count."""
        mask = None if mask is None else mask.expand(-1, -1, q.shape[2], -1)
        found = nn.functional.scaled_dot_product_attention(q, *cache, attn_mask=mask)
        joined: torch.Tensor = self.o(found.transpose(1, 2).flatten(2))
        return joined


class SelfAttention(Attention):
    """Of tokens among each other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.qkv = nn.Linear(width, 3 * width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (self.split(part) for part in self.qkv(x).chunk(3, dim=2))
        return self.attended(self.q_norm(q), (self.k_norm(k), v))


class CrossAttention(Attention):
    """Of tokens to a condition."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.q, self.kv = nn.Linear(width, width), nn.Linear(width, 2 * width)

    def keys_values(self, condition: torch.Tensor) -> Cache:
        """Of a condition (N, tokens, width); a product each, as one of both would have to be cut again."""
        halves = zip(self.kv.weight.chunk(2), self.kv.bias.chunk(2), strict=True)
        k, v = (self.split(nn.functional.linear(condition, weight, bias)) for weight, bias in halves)
        return self.k_norm(k), v

    def forward(self, x: torch.Tensor, cache: Cache, mask: torch.Tensor | None) -> torch.Tensor:
        return self.attended(self.q_norm(self.split(self.q(x))), cache, mask)


class Block(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Own tokens, a condition, a perceptron, each in front of a residual add."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(rms_norm(width) for _ in range(3))
        self.own, self.condition = SelfAttention(width, heads), CrossAttention(width, heads)
        self.perceptron = Perceptron(width, width, width)

    def forward(self, x: torch.Tensor, cache: Cache, mask: torch.Tensor | None) -> torch.Tensor:
        """(N, tokens, width), given `condition.keys_values` of the condition."""
        x = x + self.own(self.norms[0](x))
        x = x + self.condition(self.norms[1](x), cache, mask)
        y: torch.Tensor = x + self.perceptron(self.norms[2](x))
        return y
