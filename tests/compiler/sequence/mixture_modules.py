"""Mixtures of experts as they are written: one expert for the whole input, chosen by a router."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch_modules import Fn

E, T, D, N = 4, 12, 24, 16


def r(*shape):
    return torch.randn(*shape)


def vectors():
    return r(1, D), r(1, T)


def images():
    return r(1, 3, 10, 10), r(1, T)


def gathered():
    def forward(m, x, t):
        number = m.router(t).argmax(-1)
        return F.relu(torch.bmm(x.unsqueeze(1), m.w[number]).squeeze(1) + m.b[number])

    return Fn(forward, router=nn.Linear(T, E), w=r(E, D, N), b=r(E, N)), vectors()


def functional():
    def forward(m, x, t):
        number = m.router(t)[0].argmax()
        return F.relu(F.linear(x, m.w[number], m.b[number]))

    return Fn(forward, router=nn.Linear(T, E), w=r(E, N, D), b=r(E, N)), vectors()


def convolution():
    def forward(m, x, t):
        number = m.router(t).softmax(-1).argmax(-1)
        return F.conv2d(x, torch.index_select(m.w, 0, number)[0], m.b[number][0], stride=2, padding=1)

    return Fn(forward, router=nn.Linear(T, E), w=r(E, N, 3, 3, 3), b=r(E, N)), images()


def network():
    return nn.Sequential(nn.Linear(D, 2 * D), nn.GELU(), nn.Linear(2 * D, N))


def mixture(forward, expert, inputs):
    """Experts beside each other, and a router."""

    def make():
        return Fn(forward, router=nn.Linear(T, E), experts=nn.ModuleList([expert() for _ in range(E)])), inputs()

    return make


def conv():
    return nn.Conv2d(3, N, 3, stride=2, padding=1)


def scattered(m, x, t):
    logits = m.router(t)
    mask = torch.zeros_like(logits).scatter(1, logits.topk(1, -1).indices, 1.0)
    return (torch.stack([e(x) for e in m.experts], 1) * mask[:, :, None, None, None]).sum(1)


def one_hot(m, x, t):
    mask = F.one_hot(m.router(t).argmax(-1), E).to(x.dtype)
    return sum(mask[:, i : i + 1] * e(x) for i, e in enumerate(m.experts))


def equal(m, x, t):
    number = m.router(t).argmax(-1)
    return sum((number == i).float()[:, None, None, None] * e(x) for i, e in enumerate(m.experts))


def picked(m, x, t):
    return torch.stack([e(x) for e in m.experts])[m.router(t)[0].argmax()]


MODULES = {
    "expert_gathered": gathered,
    "expert_functional": functional,
    "expert_convolution": convolution,
    "expert_scattered": mixture(scattered, conv, images),
    "expert_one_hot": mixture(one_hot, network, vectors),
    "expert_equal": mixture(equal, conv, images),
    "expert_picked": mixture(picked, network, vectors),
}
