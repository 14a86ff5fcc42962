"""Attention as it is written: PyTorch's own functions and modules, and by hand."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch_modules import Fn

B, H, S, D = 1, 4, 6, 8
C = H * D


def r(*shape):
    return torch.randn(*shape)


def heads(x, h=H):
    return x.view(x.shape[0], x.shape[1], h, -1).transpose(1, 2)


def joined(x):
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], -1)


def qkv():
    return r(B, S, C), r(B, S, C), r(B, S, C)


def sdpa(**options):
    return lambda: (Fn(lambda m, q, k, v: F.scaled_dot_product_attention(q, k, v, **options)), (r(B, H, S, D),) * 3)


def sdpa_with(mask):
    return lambda: (
        Fn(lambda m, q, k, v, a: F.scaled_dot_product_attention(q, k, v, attn_mask=a)),
        (r(B, H, S, D), r(B, H, S, D), r(B, H, S, D), mask()),
    )


def sdpa_fixed(mask):
    return lambda: (
        Fn(lambda m, q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=m.mask), mask=mask()),
        (r(B, H, S, D), r(B, H, S, D), r(B, H, S, D)),
    )


def by_hand(scores, h=H, weights=None, s=S):
    """Projections, heads, softmax of `scores(m, q, k)`, and the sum of values."""

    def forward(m, x):
        q, k, v = (heads(f(x)) for f in (m.q, m.k, m.v))
        return m.o(joined(scores(m, q, k).softmax(-1) @ v))

    return lambda: (
        Fn(
            forward,
            q=nn.Linear(C, C),
            k=nn.Linear(C, C),
            v=nn.Linear(C, C),
            o=nn.Linear(C, C),
            causal=torch.tril(torch.ones(s, s, dtype=torch.bool)),
            bias=r(H, s, s),
            slopes=(torch.arange(s)[None] - torch.arange(s)[:, None]).float()
            * torch.tensor([0.5, 0.25, 0.1, 0.05]).view(4, 1, 1),
            **(weights or {}),
        ),
        (r(B, s, C),),
    )


def plain(m, q, k):
    return q @ k.transpose(-2, -1) / math.sqrt(D)


def _bmm(m, x):
    q, k, v = (f(x).view(B * S, H, D).transpose(0, 1) for f in (m.q, m.k, m.v))
    weights = torch.softmax(torch.bmm(q * D**-0.5, k.transpose(1, 2)), dim=-1)
    return torch.bmm(weights, v).transpose(0, 1).reshape(B, S, C)


def _einsum(m, x):
    q, k, v = (f(x).view(B, S, H, D) for f in (m.q, m.k, m.v))
    weights = torch.softmax(torch.einsum("bqhd,bkhd->bhqk", q, k) * D**-0.5, dim=-1)
    return torch.einsum("bhqk,bkhd->bqhd", weights, v).reshape(B, S, C)


def _einsum_gqa(m, x):
    q = m.q(x).view(B, S, 2, 2, D)
    k, v = (f(x)[..., : 2 * D].reshape(B, S, 2, D) for f in (m.k, m.v))
    weights = torch.softmax(torch.einsum("bqhgd,bkhd->bhgqk", q, k) * D**-0.5, dim=-1)
    return torch.einsum("bhgqk,bkhd->bqhgd", weights, v).reshape(B, S, C)


def _fused_qkv(m, x):
    q, k, v = m.qkv(x).reshape(B, S, 3, H, D).permute(2, 0, 3, 1, 4).unbind(0)
    return joined((q * D**-0.5 @ k.transpose(-2, -1)).softmax(-1) @ v)


def _chunked_qkv(m, x):
    q, k, v = (heads(t) for t in m.qkv(x).split(C, dim=2))
    att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
    att = att.masked_fill(m.causal.view(1, 1, S, S) == 0, float("-inf"))
    return joined(F.softmax(att, dim=-1) @ v)


def _repeat_kv(m, x):
    q, k, v = heads(m.q(x)), heads(m.k(x)[..., : 2 * D], 2), heads(m.v(x)[..., : 2 * D], 2)
    k, v = (t[:, :, None].expand(B, 2, 2, S, D).reshape(B, H, S, D) for t in (k, v))
    return joined(F.scaled_dot_product_attention(q, k, v, is_causal=True))


def _interleave(m, x):
    q, k, v = heads(m.q(x)), heads(m.k(x)[..., : 2 * D], 2), heads(m.v(x)[..., : 2 * D], 2)
    k, v = (t.repeat_interleave(2, dim=1) for t in (k, v))
    return joined((q @ k.transpose(2, 3) / math.sqrt(D)).softmax(-1) @ v)


def _mqa(m, x):
    q, k, v = heads(m.q(x)), m.k(x)[..., None, :, :D], m.v(x)[..., None, :, :D]
    return joined((q @ k.transpose(2, 3) / math.sqrt(D)).softmax(-1) @ v)


def made_prefix(blocks, h):
    """Blocks of tokens one behind another; each sees itself and all before it, whose keys are joined."""

    def forward(m, *parts):
        k = v = None
        for x in parts:
            own = [heads(f(x)[..., : h * D], h) for f in (m.k, m.v)]
            k, v = own if k is None else (torch.cat(pair, dim=2) for pair in zip((k, v), own, strict=True))
            shared = (t.repeat_interleave(H // h, dim=1) for t in (k, v))
            y = joined(F.scaled_dot_product_attention(heads(m.q(x)), *shared))
        return y

    return lambda: (
        Fn(forward, **{name: nn.Linear(C, C) for name in "qkv"}),
        tuple(r(B, S + 3 * i, C) for i in range(blocks)),
    )


def of_x(forward):
    def make():
        parts = {name: nn.Linear(C, C) for name in "qkvo"}
        parts["qkv"] = nn.Linear(C, 3 * C)
        return Fn(forward, causal=torch.tril(torch.ones(S, S)), **parts), (r(B, S, C),)

    return make


def _one_head(m, x):
    q, k, v = m.q(x), m.k(x), m.v(x)
    return (q @ k.transpose(-1, -2) / math.sqrt(C)).softmax(-1) @ v


def _no_batch(m, x):
    x = x[0]
    return torch.softmax(m.q(x) @ m.k(x).T / math.sqrt(C), dim=-1) @ m.v(x)


def _spatial_softmax(m, x):
    return torch.softmax(m.points @ x.flatten(2), dim=-1) @ m.places


def mha(self_attention=True, batch_first=True, **options):
    def make():
        module = nn.MultiheadAttention(C, H, batch_first=batch_first)
        x, y = (r(B, S, C), r(B, 9, C)) if batch_first else (r(S, B, C), r(9, B, C))
        masks = {k: v() for k, v in options.items() if callable(v)}
        rest = {k: v for k, v in options.items() if not callable(v)}
        if self_attention:
            return Fn(
                lambda m, x: m.mha(x, x, x, **{k: getattr(m, k) for k in masks}, **rest)[0], mha=module, **masks
            ), (x,)
        return Fn(
            lambda m, x, y: m.mha(x, y, y, **{k: getattr(m, k) for k in masks}, **rest)[0], mha=module, **masks
        ), (x, y)

    return make


def _mha_padding():
    padding = torch.zeros(B, S, dtype=torch.bool)
    padding[:, -2:] = True
    module = Fn(
        lambda m, x, p: m.mha(x, x, x, key_padding_mask=p, need_weights=False)[0],
        mha=nn.MultiheadAttention(C, H, batch_first=True),
    )
    return module, (r(B, S, C), padding)


def encoder(**options):
    return lambda: (nn.TransformerEncoderLayer(C, H, 64, batch_first=True, **options), (r(B, S, C),))


def decoder(**options):
    return lambda: (nn.TransformerDecoderLayer(C, H, 64, batch_first=True, **options), (r(B, S, C), r(B, 9, C)))


def causal_bool():
    return torch.tril(torch.ones(S, S, dtype=torch.bool))


def causal_float():
    return torch.full((S, S), float("-inf")).triu(1)


def prefix():
    mask = causal_bool()
    mask[:, :3] = True
    return mask


def window():
    return causal_bool() & ~torch.tril(torch.ones(S, S, dtype=torch.bool), -3)


def some_keys():
    return torch.tensor([True, False, True, True, False, True]).view(1, 1, 1, S)


def some_pairs():
    mask = torch.rand(1, 1, S, S) > 0.5
    mask[..., 0] = True
    return mask


def hf_padding(m, x, mask):
    """BERT: an additive mask made of ones and zeros."""
    q, k, v = (heads(f(x)) for f in (m.q, m.k, m.v))
    extended = (1.0 - mask[:, None, None, :].to(x.dtype)) * torch.finfo(torch.float32).min
    return joined((q @ k.transpose(-1, -2) / math.sqrt(D) + extended).softmax(-1) @ v)


def causal_and_padding(m, x, mask):
    q, k, v = (heads(f(x)) for f in (m.q, m.k, m.v))
    allowed = m.causal.bool()[None, None] & mask[:, None, None, :].bool()
    return joined(F.scaled_dot_product_attention(q, k, v, attn_mask=allowed))


def padded(forward):
    def make():
        parts = {name: nn.Linear(C, C) for name in "qkv"}
        mask = torch.tensor([[1, 1, 1, 1, 0, 0]])
        return Fn(forward, causal=torch.tril(torch.ones(S, S)), **parts), (r(B, S, C), mask)

    return make


# by name: makes the module and its inputs
MODULES = {
    "sdpa": sdpa(),
    "sdpa_scale": sdpa(scale=0.3),
    "sdpa_causal": sdpa(is_causal=True),
    "sdpa_gqa": lambda: (
        Fn(lambda m, q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True)),
        (r(B, H, S, D), r(B, 2, S, D), r(B, 2, S, D)),
    ),
    "sdpa_bool": sdpa_with(some_pairs),
    "sdpa_float": sdpa_with(lambda: r(1, H, S, S)),
    "sdpa_fixed_causal": sdpa_fixed(causal_bool),
    "sdpa_fixed_float": sdpa_fixed(causal_float),
    "sdpa_prefix": sdpa_fixed(prefix),
    "sdpa_window": sdpa_fixed(window),
    "sdpa_keys": sdpa_fixed(some_keys),
    "hand": by_hand(plain),
    "hand_scaled_q": by_hand(lambda m, q, k: q * D ** (-0.5) @ k.transpose(-2, -1)),
    "hand_no_scale": by_hand(lambda m, q, k: q @ k.transpose(-2, -1)),
    "hand_masked_fill": by_hand(lambda m, q, k: plain(m, q, k).masked_fill(~m.causal, -torch.inf)),
    "hand_where": by_hand(lambda m, q, k: torch.where(m.causal, plain(m, q, k), torch.tensor(-1000000000.0))),
    "hand_minus_10000": by_hand(lambda m, q, k: plain(m, q, k) + (1 - m.causal.float()) * -10000.0),
    "hand_mask_before_scale": by_hand(lambda m, q, k: (q @ k.transpose(-2, -1) + m.bias) * D ** (-0.5)),
    "relative_bias": by_hand(lambda m, q, k: q @ k.transpose(-2, -1) + m.bias),
    "alibi": by_hand(lambda m, q, k: (plain(m, q, k) + m.slopes).masked_fill(~m.causal, -torch.inf)),
    "bmm": of_x(_bmm),
    "einsum": of_x(_einsum),
    "einsum_gqa": of_x(_einsum_gqa),
    "fused_qkv": of_x(_fused_qkv),
    "split_qkv": of_x(_chunked_qkv),
    "repeat_kv": of_x(_repeat_kv),
    "repeat_interleave": of_x(_interleave),
    "mqa": of_x(_mqa),
    "made_prefix": made_prefix(2, H),
    "made_prefix_shared": made_prefix(3, 2),
    "one_head": of_x(_one_head),
    "no_batch": of_x(_no_batch),
    "spatial_softmax": lambda: (Fn(_spatial_softmax, points=r(4, C), places=r(S, 2)), (r(B, C, 2, S // 2),)),
    "padding_additive": padded(hf_padding),
    "padding_and_causal": padded(causal_and_padding),
    "mha": mha(need_weights=False),
    "mha_weights": mha(),
    "mha_sequence_first": mha(batch_first=False, need_weights=False),
    "mha_cross": mha(False, need_weights=False),
    "mha_causal": mha(need_weights=False, attn_mask=lambda: ~causal_bool()),
    "mha_padding": _mha_padding,
    "encoder_pre": encoder(norm_first=True, activation="gelu"),
    "encoder_post": encoder(),
    "decoder_pre": decoder(norm_first=True, activation="gelu"),
    "decoder_post": decoder(),
}
