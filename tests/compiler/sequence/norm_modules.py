"""Norms and activations as they are written."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch_modules import Fn

C, S = 32, 6


def r(*shape):
    return torch.randn(*shape)


def of(function, *shape, **parts):
    shape = shape or (1, S, C)
    return lambda: (Fn(function, g=r(shape[-1]), b=r(shape[-1]), **parts), (r(*shape),))


def module(build, *shape):
    return lambda: (build(), (r(*shape),))


def _ln_by_hand(m, x):
    mean = x.mean(-1, keepdim=True)
    var = (x - mean).pow(2).mean(-1, keepdim=True)
    return m.g * (x - mean) / torch.sqrt(var + 1e-6) + m.b


def _ln_var(m, x):
    mean, var = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    return (x - mean) * torch.rsqrt(var + 1e-5)


def _ln_channels_first(m, x):
    u = x.mean(1, keepdim=True)
    s = (x - u).pow(2).mean(1, keepdim=True)
    x = (x - u) / torch.sqrt(s + 1e-6)
    return m.w[:, None, None] * x + m.v[:, None, None]


def _ln_permuted(m, x):
    return F.layer_norm(x.permute(0, 2, 3, 1), (8,), m.w, m.v, 1e-6).permute(0, 3, 1, 2)


def _rms(m, x):
    return m.g * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def _rms_sqrt(m, x):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6) * m.g


def _rms_gemma(m, x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * (1.0 + m.g)


def _rms_power(m, x):
    return x * (x.square().mean(-1, keepdim=True) + 1e-6) ** -0.5 * m.g


def _length_of_squares(m, x):
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)


def _adaln(m, x, c):
    shift, scale, gate = m.ada(F.silu(c)).chunk(3, dim=1)
    h = F.layer_norm(x, (C,), eps=1e-6) * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)
    return x + gate.unsqueeze(1) * m.fc(h)


def _layer_scale(m, x):
    return x + m.g * m.fc(F.layer_norm(x, (C,), m.g, m.b))


def _swiglu(m, x):
    return m.down(F.silu(m.gate(x)) * m.up(x))


def _geglu(m, x):
    a, b = m.both(x).chunk(2, dim=-1)
    return F.gelu(a) * b


def _gelu_by_hand(m, x):
    return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))


def _gelu_new(m, x):
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


def _gelu_fast(m, x):
    return 0.5 * x * (1.0 + torch.tanh(x * 0.7978845608 * (1.0 + 0.044715 * x * x)))


def normed(function, **parts):
    """Behind a norm, as activations are single nodes in models of sequences only."""
    return of(lambda m, x: function(m, F.layer_norm(x, (C,))), **parts)


def mlp():
    return {"gate": nn.Linear(C, 64), "up": nn.Linear(C, 64), "down": nn.Linear(64, C), "both": nn.Linear(C, 64)}


def with_condition(function):
    return lambda: (Fn(function, ada=nn.Linear(16, 3 * C), fc=nn.Linear(C, C)), (r(1, S, C), r(1, 16)))


def image(function):
    return lambda: (Fn(function, w=r(8), v=r(8)), (r(1, 8, 5, 5),))


def two(function, *more):
    return lambda: (Fn(function), (r(1, S, C), *more))


# by name: makes the module and its inputs
MODULES = {
    "layer_norm": of(lambda m, x: F.layer_norm(x, (C,), m.g, m.b, 1e-06)),
    "layer_norm_module": module(lambda: nn.LayerNorm(C), 1, S, C),
    "layer_norm_plain": of(lambda m, x: F.layer_norm(x, (C,))),
    "layer_norm_no_bias": module(lambda: nn.LayerNorm(C, bias=False), 1, S, C),
    "layer_norm_by_hand": of(_ln_by_hand),
    "layer_norm_var": of(_ln_var),
    "layer_norm_first": image(_ln_channels_first),
    "layer_norm_permuted": image(_ln_permuted),
    "rms_norm": of(lambda m, x: F.rms_norm(x, (C,), m.g, 1e-06)),
    "rms_norm_module": module(lambda: nn.RMSNorm(C), 1, S, C),
    "rms_norm_by_hand": of(_rms),
    "rms_norm_sqrt": of(_rms_sqrt),
    "rms_norm_gemma": of(_rms_gemma),
    "rms_norm_power": of(_rms_power),
    "unit_length": of(lambda m, x: F.normalize(x, dim=-1)),
    "unit_length_by_norm": of(lambda m, x: x / x.norm(dim=-1, keepdim=True)),
    "unit_length_unsqueezed": of(lambda m, x: x / torch.linalg.vector_norm(x, dim=-1)[..., None]),
    "unit_length_by_hand": of(_length_of_squares),
    "group_norm": module(lambda: nn.GroupNorm(4, 8), 1, 8, 5, 5),
    "group_norm_rows": module(lambda: nn.GroupNorm(4, 8), 1, 8, 7),
    "group_norm_plain": module(lambda: nn.GroupNorm(4, 8, affine=False), 1, 8, 5, 5),
    "instance_norm": module(lambda: nn.InstanceNorm2d(8, affine=True), 1, 8, 5, 5),
    "instance_norm_rows": module(lambda: nn.InstanceNorm1d(8), 1, 8, 7),
    "adaln": with_condition(_adaln),
    "layer_scale": of(_layer_scale, fc=nn.Linear(C, C)),
    "gelu": normed(lambda m, x: F.gelu(x)),
    "gelu_tanh": normed(lambda m, x: F.gelu(x, approximate="tanh")),
    "gelu_by_hand": normed(_gelu_by_hand),
    "gelu_new": normed(_gelu_new),
    "gelu_fast": normed(_gelu_fast),
    "quick_gelu": normed(lambda m, x: x * torch.sigmoid(1.702 * x)),
    "silu": normed(lambda m, x: F.silu(x)),
    "swiglu": normed(_swiglu, **mlp()),
    "geglu": normed(_geglu, **mlp()),
}
