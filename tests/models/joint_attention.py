"""A layer of several experts as one attention over all tokens with a mask: nothing is kept, blocks have no order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def joint_layer(layers: Sequence[Any], tokens: Sequence[Any], allowed: Any, places: Any) -> list[Any]:
    """One softmax over all tokens, angles by complex numbers, heads one by one.

    Args:
        layers: of each block's expert.
        tokens: (N, tokens, width) of each block.
        allowed: (tokens, tokens), whether a row's token sees a column's.
        places: (tokens,) of all tokens.
    """
    width = layers[0].head_width
    normed = [layer.before_attention(x) for layer, x in zip(layers, tokens, strict=True)]
    q, k, v = (
        torch.cat([getattr(layer, name)(x) for layer, x in zip(layers, normed, strict=True)], dim=1) for name in "qkv"
    )
    angles = places[:, None] * 10_000.0 ** -(torch.arange(width // 2) / (width // 2))
    turn = torch.polar(torch.ones_like(angles), angles)

    def turned(head: Any) -> Any:
        a, b = head.chunk(2, dim=-1)
        return torch.cat([(made := torch.complex(a, b) * turn).real, made.imag], dim=-1)

    heads = []
    for number in range(q.shape[2] // width):
        shared = number // layers[0].shared
        at, of = slice(number * width, (number + 1) * width), slice(shared * width, (shared + 1) * width)
        logits = turned(q[..., at]) @ turned(k[..., of]).transpose(1, 2) / width**0.5
        heads.append(torch.where(allowed, logits, -torch.inf).softmax(-1) @ v[..., of])
    mixed = torch.cat(heads, dim=-1).split([x.shape[1] for x in tokens], dim=1)
    found = []
    for layer, x, part in zip(layers, tokens, mixed, strict=True):
        x = x + layer.o(part)
        y = layer.before_mlp(x)
        gate = torch.nn.functional.gelu(layer.gate(y), approximate="tanh")
        found.append(x + layer.down(gate * layer.up(y)))
    return found
