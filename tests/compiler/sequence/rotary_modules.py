"""Rotary position embeddings and norms of queries and keys as they are written."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch_modules import Fn

B, H, S, D = 1, 4, 6, 8
C = H * D


def r(*shape):
    return torch.randn(*shape)


def frequencies(d=D):
    return 1.0 / (100.0 ** (torch.arange(0, d, 2).float() / d))


def angles(d=D, s=S):
    return torch.outer(torch.arange(s).float(), frequencies(d))


def rotate_half(x):
    x1, x2 = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]
    return torch.cat((-x2, x1), dim=-1)


def rotate_every_two(x):
    return torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)


def half(x, m):
    t = torch.cat((angles(), angles()), dim=-1)
    return x * t.cos() + rotate_half(x) * t.sin()


def every_two(x, m):
    t = angles().repeat_interleave(2, -1)
    return x * t.cos() + rotate_every_two(x) * t.sin()


def by_parts(x, m):
    x1, x2 = x.chunk(2, dim=-1)
    cos, sin = angles().cos(), angles().sin()
    return torch.cat((x1 * cos - x2 * sin, x2 * cos + x1 * sin), dim=-1)


def by_pairs(x, m):
    x1, x2 = x.reshape(*x.shape[:-1], -1, 2).unbind(-1)
    cos, sin = angles().cos(), angles().sin()
    return torch.stack((x1 * cos - x2 * sin, x1 * sin + x2 * cos), dim=-1).flatten(-2)


def partial(x, m):
    t = torch.cat((angles(4), angles(4)), dim=-1)
    rot, rest = x[..., :4], x[..., 4:]
    return torch.cat((rot * t.cos() + rotate_half(rot) * t.sin(), rest), dim=-1)


def attend(rope, heads_first=True, norm=None):
    def forward(m, x):
        q, k, v = (f(x).view(B, S, H, D) for f in (m.q, m.k, m.v))
        if norm:
            q, k = m.qn(q), m.kn(k)
        if heads_first:
            q, k, v = (t.transpose(1, 2) for t in (q, k, v))
            q, k = rope(q, m), rope(k, m)
        else:
            q, k = rope(q, m), rope(k, m)
            q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, S, C)

    def make():
        parts = {name: nn.Linear(C, C) for name in "qkv"}
        if norm:
            parts |= {"qn": norm(D), "kn": norm(D)}
        return Fn(forward, **parts), (r(B, S, C),)

    return make


def half_over_heads(x, m):
    """With heads behind the sequence."""
    t = torch.cat((angles(), angles()), dim=-1)[:, None]
    return x * t.cos() + rotate_half(x) * t.sin()


def with_positions(every=False):
    """Angles computed of position numbers, an input."""

    def forward(m, x, positions):
        q, k, v = (f(x).view(B, S, H, D).transpose(1, 2) for f in (m.q, m.k, m.v))
        t = positions[:, :, None].float() * m.f
        t = t.repeat_interleave(2, -1) if every else torch.cat((t, t), dim=-1)
        cos, sin = t.cos()[:, None], t.sin()[:, None]
        turn = rotate_every_two if every else rotate_half
        q, k = (y * cos + turn(y) * sin for y in (q, k))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(B, S, C)

    def make():
        parts = {name: nn.Linear(C, C) for name in "qkv"}
        return Fn(forward, f=frequencies(), **parts), (r(B, S, C), torch.arange(3, 3 + S)[None])

    return make


def by_table():
    """Rows of tables by position numbers."""

    def forward(m, x, positions):
        q, k, v = (f(x).view(B, S, H, D).transpose(1, 2) for f in (m.q, m.k, m.v))
        cos, sin = m.cos[positions][:, None], m.sin[positions][:, None]
        q, k = (y * cos + rotate_half(y) * sin for y in (q, k))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, S, C)

    t = torch.cat((angles(s=20), angles(s=20)), dim=-1)
    parts = {name: nn.Linear(C, C) for name in "qkv"}
    return Fn(forward, cos=t.cos(), sin=t.sin(), **parts), (r(B, S, C), torch.arange(3, 3 + S)[None])


def cached():
    """Keys of earlier runs in front of a rotated one (Llama's cache)."""

    def forward(m, x, old_k, old_v, position):
        q, k, v = (f(x).view(B, 1, H, D).transpose(1, 2) for f in (m.q, m.k, m.v))
        t = position[:, :, None].float() * m.f
        t = torch.cat((t, t), dim=-1)
        q, k = (y * t.cos()[:, None] + rotate_half(y) * t.sin()[:, None] for y in (q, k))
        k, v = torch.cat([old_k, k], dim=2), torch.cat([old_v, v], dim=2)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, 1, C), k, v

    parts = {name: nn.Linear(C, C) for name in "qkv"}
    return Fn(forward, f=frequencies(), **parts), (r(B, 1, C), r(B, H, 5, D), r(B, H, 5, D), torch.tensor([[5]]))


def norm_behind(norm):
    """A norm of queries and keys behind the Transpose to heads."""

    def forward(m, x):
        q, k, v = (t.transpose(1, 2) for t in m.qkv(x).view(B, S, 3, H, D).unbind(2))
        return F.scaled_dot_product_attention(m.qn(q), m.kn(k), v).transpose(1, 2).reshape(B, S, C)

    return lambda: (Fn(forward, qkv=nn.Linear(C, 3 * C), qn=norm(D), kn=norm(D)), (r(B, S, C),))


def rms(d):
    return nn.RMSNorm(d, eps=1e-6)


MODULES = {
    "rope_half": attend(half),
    "rope_half_over_heads": attend(half_over_heads, heads_first=False),
    "rope_every_two": attend(every_two),
    "rope_by_parts": attend(by_parts),
    "rope_by_pairs": attend(by_pairs),
    "rope_partial": attend(partial),
    "rope_positions": with_positions(),
    "rope_positions_every_two": with_positions(every=True),
    "rope_table": by_table,
    "rope_cache": cached,
    "qk_norm": attend(half, norm=nn.LayerNorm),
    "qk_rms_norm": attend(half, norm=rms),
    "qk_norm_behind": norm_behind(nn.LayerNorm),
}
