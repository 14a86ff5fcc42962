"""Blocks of policies as they are written: DiT, conditioned experts, ACT, windows, mixtures, recurrent layers."""

from __future__ import annotations

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


def linear(*names, size=C):
    return {name: nn.Linear(C, size) for name in names}


def modulate(x, shift, scale):
    return x * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)


def dit():
    def forward(m, x, c):
        a, b, g, d, e, h = m.ada(F.silu(c)).chunk(6, dim=1)
        y = modulate(F.layer_norm(x, (C,), eps=1e-6), a, b)
        q, k, v = m.qkv(y).reshape(B, S, 3, H, D).permute(2, 0, 3, 1, 4).unbind(0)
        x = x + g.unsqueeze(1) * m.o(joined(F.scaled_dot_product_attention(q, k, v)))
        y = modulate(F.layer_norm(x, (C,), eps=1e-6), d, e)
        return x + h.unsqueeze(1) * m.down(F.gelu(m.up(y), approximate="tanh"))

    parts = {"ada": nn.Linear(16, 6 * C), "qkv": nn.Linear(C, 3 * C), "down": nn.Linear(64, C)}
    return Fn(forward, **parts, **linear("o"), **linear("up", size=64)), (r(B, S, C), r(B, 16))


def rdt():
    """Cross attention with RMSNorm of queries and keys over a padded condition."""

    def forward(m, x, c, mask):
        q, k, v = heads(m.q(m.n(x))), heads(m.k(c)), heads(m.v(c))
        y = F.scaled_dot_product_attention(m.qn(q), m.kn(k), v, attn_mask=mask[:, None, None, :].expand(-1, -1, S, -1))
        return x + m.o(joined(y))

    norms = {"n": nn.RMSNorm(C, eps=1e-6), "qn": nn.RMSNorm(D, eps=1e-6), "kn": nn.RMSNorm(D, eps=1e-6)}
    mask = torch.tensor([[True] * 6 + [False] * 3])
    return Fn(forward, **linear("q", "k", "v", "o"), **norms), (r(B, S, C), r(B, 9, C), mask)


def act():
    """DETR's and ACT's: positions are added to queries and keys only."""

    def forward(m, x):
        y = x + m.p
        return m.norm(x + m.mha(y, y, x, need_weights=False)[0])

    return Fn(forward, p=r(1, S, C), mha=nn.MultiheadAttention(C, H, batch_first=True), norm=nn.LayerNorm(C)), (
        r(B, S, C),
    )


def causal_decoder():
    mask = nn.Transformer.generate_square_subsequent_mask(S)
    layer = nn.TransformerDecoderLayer(C, H, 64, batch_first=True)
    return Fn(lambda m, x, c: m.layer(x, c, tgt_mask=m.mask), layer=layer, mask=mask), (r(B, S, C), r(B, 9, C))


def stacked_encoder():
    layer = nn.TransformerEncoderLayer(C, H, 64, batch_first=True, norm_first=True, activation="gelu")
    return nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(C), enable_nested_tensor=False), (r(B, S, C),)


def windows():
    """Swin: windows of pixels as a batch, a bias for each head."""

    def forward(m, x):
        x = x.view(1, 2, 2, 2, 2, C).permute(0, 1, 3, 2, 4, 5).reshape(4, 4, C)
        q, k, v = m.qkv(x).reshape(4, 4, 3, H, D).permute(2, 0, 3, 1, 4)
        y = (q * D**-0.5 @ k.transpose(-2, -1) + m.bias).softmax(-1) @ v
        y = y.transpose(1, 2).reshape(4, 4, C)
        return y.view(1, 2, 2, 2, 2, C).permute(0, 1, 3, 2, 4, 5).reshape(1, 16, C)

    return Fn(forward, qkv=nn.Linear(C, 3 * C), bias=r(H, 4, 4)), (r(1, 16, C),)


def scale_per_head():
    """A learned scale for each head."""

    def forward(m, x):
        q, k, v = (heads(f(x)) for f in (m.q, m.k, m.v))
        return joined((q @ k.transpose(-2, -1) * m.scale.exp()).softmax(-1) @ v)

    return Fn(forward, **linear("q", "k", "v"), scale=r(H, 1, 1)), (r(B, S, C),)


def cosine_attention():
    """Swin V2."""

    def forward(m, x):
        q, k = (F.normalize(heads(f(x)), dim=-1) for f in (m.q, m.k))
        return joined((q @ k.transpose(-2, -1) * m.scale.exp()).softmax(-1) @ heads(m.v(x)))

    return Fn(forward, **linear("q", "k", "v"), scale=r(H, 1, 1)), (r(B, S, C),)


def attention_pool():
    """A learned query over all tokens (SigLIP's head, Perceiver)."""

    def forward(m, x):
        return joined(F.scaled_dot_product_attention(heads(m.q(m.probe)), heads(m.k(x)), heads(m.v(x))))

    return Fn(forward, probe=r(1, 1, C), **linear("q", "k", "v")), (r(B, S, C),)


def image_attention():
    """Attention over pixels between convolutions (diffusers)."""

    def forward(m, x):
        y = m.norm(x)
        q, k, v = (f(y).flatten(2) for f in (m.q, m.k, m.v))
        w = torch.softmax(torch.bmm(q.transpose(1, 2), k) * C**-0.5, dim=2)
        return x + torch.bmm(v, w.transpose(1, 2)).view(1, C, 3, 4)

    convs = {name: nn.Conv2d(C, C, 1) for name in "qkv"}
    return Fn(forward, norm=nn.GroupNorm(4, C, eps=1e-6), **convs), (r(1, C, 3, 4),)


def lrn():
    return nn.LocalResponseNorm(5, alpha=1e-2, beta=0.75, k=2.0), (r(1, 8, 5, 5),)


def lstm():
    return Fn(lambda m, x: m.lstm(x)[0], lstm=nn.LSTM(C, 16, batch_first=True)), (r(B, S, C),)


def gru():
    return Fn(lambda m, x: m.gru(x)[0], gru=nn.GRU(C, 16, batch_first=True)), (r(B, S, C),)


MODULES = {
    "dit": dit,
    "rdt": rdt,
    "act": act,
    "causal_decoder": causal_decoder,
    "stacked_encoder": stacked_encoder,
    "windows": windows,
    "scale_per_head": scale_per_head,
    "cosine_attention": cosine_attention,
    "attention_pool": attention_pool,
    "image_attention": image_attention,
    "lrn": lrn,
    "lstm": lstm,
    "gru": gru,
}
