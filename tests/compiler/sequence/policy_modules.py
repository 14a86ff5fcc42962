"""Experts and diffusion blocks of known policies, written out: SmolVLA's action expert, DiT and RDT blocks."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

B, S, PREFIX = 1, 5, 7  # action tokens, and those of the prefix that is seen


def r(*shape: int) -> torch.Tensor:
    return torch.randn(*shape)


def heads(x: torch.Tensor, count: int) -> torch.Tensor:
    return x.view(x.shape[0], x.shape[1], count, -1).transpose(1, 2)


def joined(x: torch.Tensor) -> torch.Tensor:
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], -1)


def rotated(x: torch.Tensor, first: int) -> torch.Tensor:
    """Rotary positions from `first` on, halves."""
    half = x.shape[-1] // 2
    angles = torch.outer(torch.arange(first, first + x.shape[2]).float(), 100.0 ** (-torch.arange(half) / half))
    (a, b), sin, cos = x.chunk(2, dim=-1), angles.sin(), angles.cos()
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class ExpertLayer(nn.Module):
    """A Llama block over keys and values of the language model's layer: joined to its own ones, or alone."""

    def __init__(self, width: int, count: int, key_heads: int, d: int, *, crossed: bool) -> None:
        super().__init__()
        self.count, self.key_heads, self.crossed = count, key_heads, crossed
        self.norm, self.norm_2 = nn.RMSNorm(width, eps=1e-6), nn.RMSNorm(width, eps=1e-6)
        seen = key_heads * d if crossed else width
        self.q, self.o = nn.Linear(width, count * d, bias=False), nn.Linear(count * d, width, bias=False)
        self.k, self.v = (nn.Linear(seen, key_heads * d, bias=False) for _ in range(2))
        self.gate, self.up = (nn.Linear(width, 2 * width, bias=False) for _ in range(2))
        self.down = nn.Linear(2 * width, width, bias=False)

    def forward(self, x: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        y = self.norm(x)
        if self.crossed:
            q, mask = rotated(heads(self.q(y), self.count), 0), None
            k, v = heads(self.k(joined(k)), self.key_heads), heads(self.v(joined(v)), self.key_heads)
        else:
            q = rotated(heads(self.q(y), self.count), PREFIX)
            k = torch.cat((k, rotated(heads(self.k(y), self.key_heads), PREFIX)), dim=2)
            v = torch.cat((v, heads(self.v(y), self.key_heads)), dim=2)
            mask = torch.tril(torch.ones(S, PREFIX + S, dtype=torch.bool), diagonal=PREFIX)
        x = x + self.o(joined(F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)))
        y = self.norm_2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Expert(nn.Module):
    """Noisy actions and a time to a velocity, over the prefix's keys and values of each layer."""

    def __init__(self, width: int = 32, layers: int = 2, actions: int = 6) -> None:
        super().__init__()
        self.width, self.taken = width, nn.Linear(actions, width)
        self.mixed, self.mixed_2 = nn.Linear(2 * width, width), nn.Linear(width, width)
        self.layers = nn.ModuleList(ExpertLayer(width, 4, 2, 8, crossed=i % 2 == 1) for i in range(layers))
        self.norm, self.head = nn.RMSNorm(width, eps=1e-6), nn.Linear(width, actions)

    def forward(self, actions: torch.Tensor, time: torch.Tensor, *cache: torch.Tensor) -> torch.Tensor:
        rates = torch.exp(torch.linspace(0, -math.log(1e3), self.width // 2))
        angles = time[:, None] * rates * 2 * math.pi
        row = torch.cat((angles.sin(), angles.cos()), dim=1)[:, None].expand(-1, S, -1)
        x = self.mixed_2(F.silu(self.mixed(torch.cat((self.taken(actions), row), dim=2))))
        for i, layer in enumerate(self.layers):
            x = layer(x, *cache[2 * i : 2 * i + 2])
        found: torch.Tensor = self.head(self.norm(x))
        return found


def smolvla_expert() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    return Expert(), (r(B, S, 6), torch.rand(B), *(r(B, 2, PREFIX, 8) for _ in range(4)))


class DiT(nn.Module):
    """DiT: patches, a time and a class condition every norm of the blocks (adaLN-Zero)."""

    def __init__(self, width: int = 32, count: int = 4, blocks: int = 2) -> None:
        super().__init__()
        self.width, self.count = width, count
        self.patches, self.places = nn.Conv2d(4, width, 2, 2), nn.Parameter(r(1, 16, width))
        self.times = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.classes = nn.Embedding(50, width)
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "ada": nn.Linear(width, 6 * width),
                    "qkv": nn.Linear(width, 3 * width),
                    "o": nn.Linear(width, width),
                    "up": nn.Linear(width, 4 * width),
                    "down": nn.Linear(4 * width, width),
                }
            )
            for _ in range(blocks)
        )
        self.ada, self.head = nn.Linear(width, 2 * width), nn.Linear(width, 16)

    def normed(self, x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, (self.width,), eps=1e-6) * (1 + scale[:, None]) + shift[:, None]

    def forward(self, image: torch.Tensor, time: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        rates = torch.exp(-math.log(1e4) * torch.arange(self.width // 2) / (self.width // 2))
        angles = time[:, None] * rates
        c = F.silu(self.times(torch.cat((angles.cos(), angles.sin()), dim=1)) + self.classes(label))
        x = self.patches(image).flatten(2).transpose(1, 2) + self.places
        for block in self.blocks:
            a, b, gate, d, e, gate_2 = block["ada"](c).chunk(6, dim=1)
            q, k, v = (heads(part, self.count) for part in block["qkv"](self.normed(x, a, b)).chunk(3, dim=2))
            x = x + gate[:, None] * block["o"](joined(F.scaled_dot_product_attention(q, k, v)))
            hidden = F.gelu(block["up"](self.normed(x, d, e)), approximate="tanh")
            x = x + gate_2[:, None] * block["down"](hidden)
        shift, scale = self.ada(c).chunk(2, dim=1)
        y = self.head(self.normed(x, shift, scale)).view(-1, 4, 4, 2, 2, 4)
        return y.permute(0, 5, 1, 3, 2, 4).reshape(-1, 4, 8, 8)


def dit_model() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    return DiT(), (r(1, 4, 8, 8), torch.tensor([0.3]), torch.tensor([7]))


class RdtBlock(nn.Module):
    """RDT: self attention with norms of queries and keys, cross attention to a padded condition, a layer between."""

    def __init__(self, width: int = 32, count: int = 4) -> None:
        super().__init__()
        self.count = count
        d = width // count
        self.norms = nn.ModuleList(nn.RMSNorm(width, eps=1e-6) for _ in range(3))
        self.inner = nn.ModuleList(nn.RMSNorm(d, eps=1e-6) for _ in range(4))
        self.qkv, self.o, self.o_2 = (nn.Linear(width, n * width) for n in (3, 1, 1))
        self.q, self.kv = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.up, self.down = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor, condition: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        q, k, v = (heads(part, self.count) for part in self.qkv(self.norms[0](x)).chunk(3, dim=2))
        x = x + self.o(joined(F.scaled_dot_product_attention(self.inner[0](q), self.inner[1](k), v)))
        q, (k, v) = heads(self.q(self.norms[1](x)), self.count), self.kv(condition).chunk(2, dim=2)
        k, v = heads(k, self.count), heads(v, self.count)
        seen = mask[:, None, None].expand(-1, -1, x.shape[1], -1)
        x = x + self.o_2(joined(F.scaled_dot_product_attention(self.inner[2](q), self.inner[3](k), v, attn_mask=seen)))
        found: torch.Tensor = x + self.down(F.gelu(self.up(self.norms[2](x)), approximate="tanh"))
        return found


def rdt_block() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    return RdtBlock(), (r(B, 6, 32), r(B, 9, 32), torch.tensor([[True] * 6 + [False] * 3]))


MODULES = {"smolvla_expert": smolvla_expert, "dit_model": dit_model, "rdt_block": rdt_block}
