"""Embeddings, caches, recurrent cells and routers as they are written."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch_modules import Fn

B, H, S, D = 1, 4, 6, 8
C = H * D
TOKENS = torch.tensor([[3, 7, 1, 9, 4, 2]])


def r(*shape):
    return torch.randn(*shape)


def heads(x, h=H):
    return x.view(x.shape[0], x.shape[1], h, -1).transpose(1, 2)


def joined(x):
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], -1)


def layers(**more):
    return {name: nn.Linear(C, C) for name in "qkv"} | more


def sinusoid():
    t = torch.outer(torch.arange(S).float(), torch.exp(torch.arange(0, C, 2) * (-math.log(100.0) / C)))
    return torch.stack((t.sin(), t.cos()), dim=-1).flatten(-2)


def embedded(positions):
    return lambda: (Fn(lambda m, i: positions(m, m.e(i)), e=nn.Embedding(20, C), p=nn.Embedding(S, C)), (TOKENS,))


def row_of_a_token():
    def forward(m, tokens):
        return m.o(F.layer_norm(m.e(tokens), (C,)))[torch.arange(1), tokens.argmax(-1)]

    return Fn(forward, e=nn.Embedding(50, C), o=nn.Linear(C, C)), (TOKENS,)


def rows():
    return Fn(lambda m, i: m.table[i], table=r(20, C)), (TOKENS,)


def cached(past, new=1, grouped=False, causal=False, mask=False):
    """Attention over keys of earlier runs and new ones; both come back."""

    def forward(m, x, old_k, old_v):
        q, k, v = heads(m.q(x)), heads(m.k(x)), heads(m.v(x))
        if grouped:
            k, v = k[:, :2], v[:, :2]
        k, v = torch.cat([old_k, k], dim=2), torch.cat([old_v, v], dim=2)
        a, b = (t.repeat_interleave(2, dim=1) if grouped else t for t in (k, v))
        allowed = torch.tril(torch.ones(new, past + new, dtype=torch.bool), diagonal=past) if causal else None
        return joined(F.scaled_dot_product_attention(q, a, b, attn_mask=allowed)), k, v

    h = 2 if grouped else H
    return lambda: (Fn(forward, **layers()), (r(B, new, C), r(B, h, past, D), r(B, h, past, D)))


def cached_rows():
    """The same, caches with heads behind the sequence."""

    def forward(m, x, old_k, old_v):
        k, v = (torch.cat([old, f(x).view(B, 1, H, D)], dim=1) for old, f in ((old_k, m.k), (old_v, m.v)))
        q = m.q(x).view(B, 1, H, D)
        y = F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v)))
        return y.transpose(1, 2).reshape(B, 1, C), k, v

    return Fn(forward, **layers()), (r(B, 1, C), r(B, 5, H, D), r(B, 5, H, D))


def written():
    """A cache of fixed length, written at a position."""

    def forward(m, x, old_k, old_v, at):
        k, v = (c.index_copy(2, at, heads(f(x))) for c, f in ((old_k, m.k), (old_v, m.v)))
        mask = torch.arange(9)[None, None, None] <= at
        return joined(F.scaled_dot_product_attention(heads(m.q(x)), k, v, attn_mask=mask)), k, v

    return Fn(forward, **layers()), (r(B, 1, C), r(B, H, 9, D), r(B, H, 9, D), torch.tensor([4]))


def prefix_keys():
    """Keys of a prefix, computed, in front of those of a suffix (pi-zero)."""

    def forward(m, x, y):
        k, v = (torch.cat([heads(f(x)), heads(f(y))], dim=2) for f in (m.k, m.v))
        return joined(F.scaled_dot_product_attention(heads(m.q(y)), k, v))

    return Fn(forward, **layers()), (r(B, 5, C), r(B, S, C))


def argmax_router():
    return Fn(lambda m, x: m.w[(x.mean(1) @ m.g).argmax(-1)], w=r(4, C), g=r(C, 4)), (r(B, S, C),)


def topk_router():
    def forward(m, x):
        weights, index = torch.topk((x @ m.g).softmax(-1), 2)
        return weights, index

    return Fn(forward, g=r(C, 4)), (r(B, S, C),)


def lstm_cell():
    return Fn(lambda m, x, h, c: m.cell(x, (h, c)), cell=nn.LSTMCell(C, 16)), (r(1, C), r(1, 16), r(1, 16))


def gru_cell():
    return Fn(lambda m, x, h: m.cell(x, h), cell=nn.GRUCell(C, 16)), (r(1, C), r(1, 16))


MODULES = {
    "embedding": embedded(lambda m, x: F.layer_norm(x, (C,))),
    "embedding_learned": embedded(lambda m, x: x + m.p(torch.arange(S))),
    "embedding_sinusoid": embedded(lambda m, x: x + sinusoid()),
    "embedding_rows": rows,
    "row_of_a_token": row_of_a_token,
    "cache": cached(5),
    "cache_grouped": cached(5, grouped=True),
    "cache_several": cached(5, new=3, causal=True),
    "cache_rows": cached_rows,
    "cache_written": written,
    "prefix_keys": prefix_keys,
    "argmax_router": argmax_router,
    "topk_router": topk_router,
    "lstm_cell": lstm_cell,
    "gru_cell": gru_cell,
}
