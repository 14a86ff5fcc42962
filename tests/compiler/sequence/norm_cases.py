"""Norms and activations as they are written."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from exported import Case, Fn
from torch import nn

C, S = 32, 6
DYNAMO = ("dynamo-18", "dynamo-23")
NO_LEGACY = "the legacy exporter of PyTorch 2.13 fails on it"
LN, RMS, GN = ({name: 1} for name in ("LayerNormalization", "RMSNormalization", "GroupNormalization"))
REDUCED = ("ReduceMean", "Sqrt", "Pow", "Reciprocal", "InstanceNormalization")


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


N, A = "norms", "activations"
CASES = [
    Case("layer_norm", N, "`F.layer_norm`", of(lambda m, x: F.layer_norm(x, (C,), m.g, m.b, 1e-6)), LN),
    Case("layer_norm_module", N, "`nn.LayerNorm`", module(lambda: nn.LayerNorm(C), 1, S, C), LN),
    Case("layer_norm_plain", N, "the same without gamma and beta", of(lambda m, x: F.layer_norm(x, (C,))), LN),
    Case("layer_norm_no_bias", N, "the same without beta", module(lambda: nn.LayerNorm(C, bias=False), 1, S, C), LN),
    Case("layer_norm_by_hand", N, "by mean and power", of(_ln_by_hand), LN, REDUCED),
    Case("layer_norm_var", N, "by `var(unbiased=False)`", of(_ln_var), LN, REDUCED),
    Case("layer_norm_first", N, "over channels first (ConvNeXt)", image(_ln_channels_first), LN, REDUCED),
    Case("layer_norm_permuted", N, "between two permutes", image(_ln_permuted), LN, REDUCED),
    Case(
        "rms_norm", N, "`F.rms_norm`", of(lambda m, x: F.rms_norm(x, (C,), m.g, 1e-6)), RMS, REDUCED, DYNAMO, NO_LEGACY
    ),
    Case("rms_norm_module", N, "`nn.RMSNorm`", module(lambda: nn.RMSNorm(C), 1, S, C), RMS, REDUCED, DYNAMO, NO_LEGACY),
    Case("rms_norm_by_hand", N, "by `rsqrt` of the mean square (Llama)", of(_rms), RMS, REDUCED),
    Case("rms_norm_sqrt", N, "divided by `sqrt`", of(_rms_sqrt), RMS, REDUCED),
    Case("rms_norm_gemma", N, "times 1 + weight (Gemma)", of(_rms_gemma), RMS, REDUCED),
    Case("rms_norm_power", N, "to the power -0.5", of(_rms_power), RMS, REDUCED),
    Case("group_norm", N, "`nn.GroupNorm`", module(lambda: nn.GroupNorm(4, 8), 1, 8, 5, 5), GN, REDUCED),
    Case("group_norm_rows", N, "the same over rows", module(lambda: nn.GroupNorm(4, 8), 1, 8, 7), GN, REDUCED),
    Case(
        "group_norm_plain",
        N,
        "without gamma and beta",
        module(lambda: nn.GroupNorm(4, 8, affine=False), 1, 8, 5, 5),
        GN,
        REDUCED,
    ),
    Case(
        "instance_norm",
        N,
        "`nn.InstanceNorm2d`",
        module(lambda: nn.InstanceNorm2d(8, affine=True), 1, 8, 5, 5),
        GN,
        REDUCED,
    ),
    Case("instance_norm_rows", N, "`nn.InstanceNorm1d`", module(lambda: nn.InstanceNorm1d(8), 1, 8, 7), GN, REDUCED),
    Case("adaln", N, "adaLN: scale, shift and gate of a condition (DiT)", with_condition(_adaln), {**LN, "Swish": 1}),
    Case("layer_scale", N, "LayerScale", of(_layer_scale, fc=nn.Linear(C, C)), LN),
    Case("gelu", A, "`F.gelu`", normed(lambda m, x: F.gelu(x)), {"Gelu": 1}, ("Erf",)),
    Case(
        "gelu_tanh",
        A,
        "the same with `approximate='tanh'`",
        normed(lambda m, x: F.gelu(x, approximate="tanh")),
        {"Gelu": 1},
        ("Tanh",),
    ),
    Case("gelu_by_hand", A, "by `erf`", normed(_gelu_by_hand), {"Gelu": 1}, ("Erf",)),
    Case("gelu_new", A, "by `tanh` and a power (GPT-2)", normed(_gelu_new), {"Gelu": 1}, ("Tanh",)),
    Case("gelu_fast", A, "by `tanh` and products", normed(_gelu_fast), {"Gelu": 1}, ("Tanh",)),
    Case(
        "quick_gelu",
        A,
        "x * sigmoid(1.702 x) (CLIP)",
        normed(lambda m, x: x * torch.sigmoid(1.702 * x)),
        {"Swish": 1},
        ("Sigmoid",),
    ),
    Case("silu", A, "`F.silu`", normed(lambda m, x: F.silu(x)), {"Swish": 1}, ("Sigmoid",)),
    Case("swiglu", A, "SwiGLU", normed(_swiglu, **mlp()), {"Swish": 1}, ("Sigmoid",)),
    Case("geglu", A, "GeGLU of one projection", normed(_geglu, **mlp()), {"Gelu": 1}, ("Erf",)),
]
