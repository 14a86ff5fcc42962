"""Mixtures of experts as they are written: one expert for the whole input, or several for each token."""

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


def layers():
    """Two layers of experts, whose routers are the rows of one (N-ISA's MoEBabyAIVLA)."""

    def forward(m, x, t):
        logits = m.router(t).view(-1, 2, E)
        masks = torch.zeros_like(logits).scatter(-1, logits.topk(1, -1).indices, 1.0)
        for i, experts in enumerate((m.first, m.second)):
            x = torch.stack([e(x) for e in experts], 1)
            x = F.relu((x * masks[:, i].view(-1, E, 1, 1, 1)).sum(1))
        return x

    first, second = (nn.ModuleList([nn.Conv2d(i, 6, 3, padding=1) for _ in range(E)]) for i in (3, 6))
    return Fn(forward, router=nn.Linear(T, 2 * E), first=first, second=second), images()


def one_hot(m, x, t):
    mask = F.one_hot(m.router(t).argmax(-1), E).to(x.dtype)
    return sum(mask[:, i : i + 1] * e(x) for i, e in enumerate(m.experts))


def equal(m, x, t):
    number = m.router(t).argmax(-1)
    return sum((number == i).float()[:, None, None, None] * e(x) for i, e in enumerate(m.experts))


def picked(m, x, t):
    return torch.stack([e(x) for e in m.experts])[m.router(t)[0].argmax()]


def tokens(gates, mixed=None, width=D):
    """A mixture over tokens; `gates` are of the logits, `mixed` of gates, experts and tokens."""

    def make():
        def forward(m, x):
            return (mixed or weighted)(m, gates(m.router(x)), x)

        parts = {"router": nn.Linear(width, E, bias=False), "w1": r(E, width, N), "w3": r(E, width, N)}
        experts = nn.ModuleList([nn.Sequential(nn.Linear(D, 2 * D), nn.GELU(), nn.Linear(2 * D, N)) for _ in range(E)])
        return Fn(forward, experts=experts, w2=r(E, N, width), **parts), (r(1, 7, width),)

    return make


def normalized(logits):
    weights, index = logits.softmax(-1).topk(2, -1)
    return weights / weights.sum(-1, keepdim=True), index


def scored(logits):
    """DeepSeek-V3, without its bias of the choice."""
    weights, index = logits.sigmoid().topk(2, -1)
    return weights / (weights.sum(-1, keepdim=True) + 1e-20), index


def looked_up(logits):
    """OLMoE with normalized weights: shares of all experts, looked up where the largest logits are."""
    weights, index = logits.softmax(-1), logits.topk(2, -1).indices
    weights = weights.gather(-1, index)
    return weights / weights.sum(-1, keepdim=True), index


def looked_up_plain(logits):
    weights = logits.softmax(-1)
    index = weights.topk(2, -1).indices
    return weights.gather(-1, index), index


CORRECTION = torch.tensor([0.1, -0.2, 0.3, -0.1])


def corrected(logits):
    """DeepSeek-V3 of one group of experts: a bias decides who is chosen, and not how much they weigh."""
    scores = logits.sigmoid()
    index = (scores + CORRECTION).topk(2, -1).indices
    weights = scores.gather(-1, index)
    return weights / (weights.sum(-1, keepdim=True) + 1e-20), index


def put(logits, weights, index):
    return torch.zeros_like(logits).scatter(-1, index, weights)


def weighted(m, gates, x):
    return sum(gates[..., i : i + 1] * e(x) for i, e in enumerate(m.experts))


def by_hot(logits):
    weights, index = normalized(logits)
    return (F.one_hot(index, E).to(weights.dtype) * weights[..., None]).sum(-2)


def by_softmax_of_chosen(logits):
    weights, index = logits.topk(2, -1)
    return put(logits, weights.softmax(-1), index)


def by_mask(logits):
    others = torch.ones_like(logits, dtype=torch.bool).scatter(-1, logits.topk(2, -1).indices, False)
    return logits.masked_fill(others, float("-inf")).softmax(-1)


def flat(m, gates, x):
    """Over a matrix of tokens, with a shared expert (Mixtral, Qwen2-MoE)."""
    rows, parts = x.view(-1, D), gates.view(-1, E)
    out = m.experts[0](rows) * 0.5
    for i, e in enumerate(m.experts):
        out = out + parts[:, i, None] * e(rows)
    return out.view(1, 7, N)


def each(m, gates, x):
    """Each expert's weight is a sum over the chosen (Mixtral)."""
    weights, index = gates
    return sum(e(x) * (weights * (index == i)).sum(-1, keepdim=True) for i, e in enumerate(m.experts))


def beside(m, gates, x):
    return (torch.stack([e(x) for e in m.experts], 2) * gates.unsqueeze(-1)).sum(2)


def by_einsum(m, gates, x):
    hidden = F.silu(torch.einsum("btd,edh->bteh", x, m.w1)) * torch.einsum("btd,edh->bteh", x, m.w3)
    return (torch.einsum("bteh,ehd->bted", hidden, m.w2) * gates.unsqueeze(-1)).sum(2)


def by_matmul(m, gates, x):
    hidden = F.silu(x[0] @ m.w1) * (x[0] @ m.w3)
    return ((hidden @ m.w2) * gates[0].T.unsqueeze(-1)).sum(0)


MODULES = {
    "tokens_scattered": tokens(lambda logits: put(logits, *normalized(logits))),
    "tokens_plain": tokens(lambda logits: put(logits, *logits.softmax(-1).topk(2, -1))),
    "tokens_looked_up": tokens(lambda logits: put(logits, *looked_up(logits))),
    "tokens_looked_up_plain": tokens(lambda logits: put(logits, *looked_up_plain(logits))),
    "tokens_scores": tokens(lambda logits: put(logits, *scored(logits))),
    "tokens_each_score": tokens(scored, each),
    "tokens_corrected": tokens(lambda logits: put(logits, *corrected(logits))),
    "tokens_each_corrected": tokens(corrected, each),
    "tokens_raw_scores": tokens(lambda logits: put(logits, *logits.sigmoid().topk(2, -1))),
    "tokens_chosen": tokens(by_softmax_of_chosen),
    "tokens_one_hot": tokens(by_hot),
    "tokens_masked": tokens(by_mask),
    "tokens_each": tokens(normalized, each),
    "tokens_stacked": tokens(by_softmax_of_chosen, beside),
    "tokens_flat": tokens(by_softmax_of_chosen, flat),
    "tokens_einsum": tokens(by_softmax_of_chosen, by_einsum),
    "tokens_matmul": tokens(by_softmax_of_chosen, by_matmul),
    "expert_gathered": gathered,
    "expert_functional": functional,
    "expert_convolution": convolution,
    "expert_scattered": mixture(scattered, conv, images),
    "expert_layers": layers,
    "expert_one_hot": mixture(one_hot, network, vectors),
    "expert_equal": mixture(equal, conv, images),
    "expert_picked": mixture(picked, network, vectors),
}
