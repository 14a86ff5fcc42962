"""The action expert of pi-zero (Black et al. 2024) as a PyTorch module, and its export.

A block reads keys and values of a prefix (images, words) as inputs; its own are put behind them and handed to nobody.
Not here: what makes the prefix.
"""

from __future__ import annotations

import logging
import warnings

import onnx
import torch
import torch.nn.functional as F
from block_shapes import ExpertShape
from torch import Tensor, nn

__all__ = ["exported_expert", "exported_flow"]


class RmsNorm(nn.Module):
    """Gemma's: the weight is what is added to one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.3 * torch.randn(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * (1 + self.weight)


class Block(nn.Module):
    """Attention over the prefix and itself, and a gated GELU; both in front of a residual add."""

    def __init__(self, s: ExpertShape) -> None:
        super().__init__()
        self.s = s
        self.before_attention, self.before_mlp = RmsNorm(s.width), RmsNorm(s.width)
        self.q = nn.Linear(s.width, s.heads * s.head, bias=False)
        self.k, self.v = (nn.Linear(s.width, s.key_heads * s.head, bias=False) for _ in range(2))
        self.o = nn.Linear(s.heads * s.head, s.width, bias=False)
        self.gate, self.up = (nn.Linear(s.width, s.hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(s.hidden, s.width, bias=False)

    def forward(
        self, x: Tensor, past_key: Tensor, past_value: Tensor, places: tuple[Tensor, Tensor], seen: Tensor
    ) -> Tensor:
        y = self.before_attention(x)
        q, k, v = (f(y).unflatten(2, (-1, self.s.head)).transpose(1, 2) for f in (self.q, self.k, self.v))
        q, k = (turned(t, *places) for t in (q, k))
        k, v = torch.cat([past_key, k], dim=2), torch.cat([past_value, v], dim=2)
        k, v = (t.repeat_interleave(self.s.heads // self.s.key_heads, dim=1) for t in (k, v))
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        x = x + self.o(a.transpose(1, 2).flatten(2))
        y = self.before_mlp(x)
        return x + self.down(F.gelu(self.gate(y), approximate="tanh") * self.up(y))


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021) of x [batch, heads, rows, channels]."""
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-b, a], dim=-1) * sin


class Expert(nn.Module):
    """Blocks over (x [1, rows, width], then keys and values [1, key heads, prefix, head] of each)."""

    def __init__(self, shape: ExpertShape, count: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(shape) for _ in range(count))
        place = torch.arange(shape.prefix, shape.prefix + shape.rows).float()
        angle = torch.outer(place, 10000.0 ** -(torch.arange(shape.head // 2) / (shape.head // 2)))
        angle = torch.cat([angle, angle], dim=-1)
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())
        seen = torch.ones(shape.rows, shape.prefix + shape.rows, dtype=torch.bool)
        seen[0, shape.prefix + 1 :] = False  # the state does not see the actions
        self.register_buffer("seen", seen)

    def forward(self, x: Tensor, *caches: Tensor) -> Tensor:
        for number, block in enumerate(self.blocks):
            x = block(x, *caches[2 * number : 2 * number + 2], (self.cos, self.sin), self.seen)
        return x


def exported_expert(shape: ExpertShape, count: int) -> onnx.ModelProto:
    """So many blocks of random weights."""
    torch.manual_seed(0)
    caches = [torch.randn(1, shape.key_heads, shape.prefix, shape.head) for _ in range(2 * count)]
    names = [f"past_{kind}{i}" for i in range(count) for kind in ("key", "value")]
    inputs = (torch.randn(1, shape.rows, shape.width), *caches)
    return exported(Expert(shape, count).eval(), inputs, ["x", *names])


def exported(module: nn.Module, inputs: tuple[Tensor, ...], names: list[str]) -> onnx.ModelProto:
    """A module through PyTorch's exporter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            program = torch.onnx.export(module, inputs, dynamo=True, opset_version=20, verbose=False, input_names=names)
        finally:
            logging.disable(logging.NOTSET)
    assert program is not None
    return program.model_proto


class Flow(nn.Module):
    """One Euler step of the sampler: x [1, actions, action width], the state [1, state width], the number of the step,
    and the caches of the prefix to the next x.

    A token of an action knows the time of the step: `out(silu(mix([in(x), time])))`.
    """

    def __init__(self, shape: ExpertShape, count: int, steps: int, actions: int, state: int) -> None:
        super().__init__()
        width = shape.width
        self.expert, self.steps = Expert(shape, count), steps
        self.state, self.into, self.mix = (
            nn.Linear(state, width),
            nn.Linear(actions, width),
            nn.Linear(2 * width, width),
        )
        self.out, self.norm, self.velocity = nn.Linear(width, width), RmsNorm(width), nn.Linear(width, actions)
        period = 4e-3 * (4.0 / 4e-3) ** torch.linspace(0, 1, width // 2)
        angle = 2 * torch.pi * torch.arange(steps)[:, None] / steps / period
        self.register_buffer("time", torch.cat([angle.sin(), angle.cos()], dim=-1))

    def forward(self, x: Tensor, state: Tensor, step: Tensor, *caches: Tensor) -> Tensor:
        a = self.into(x)
        time = self.time[step].expand(1, a.shape[1], -1)
        a = self.out(F.silu(self.mix(torch.cat([a, time], dim=-1))))
        y = self.expert(torch.cat([self.state(state)[:, None], a], dim=1), *caches)
        return x + self.velocity(self.norm(y[:, 1:])) / self.steps


def exported_flow(
    shape: ExpertShape, count: int, steps: int = 10, actions: int = 32, state: int = 32
) -> onnx.ModelProto:
    """One step of a flow policy of random weights."""
    torch.manual_seed(0)
    caches = [torch.randn(1, shape.key_heads, shape.prefix, shape.head) for _ in range(2 * count)]
    names = [f"past_{kind}{i}" for i in range(count) for kind in ("key", "value")]
    inputs = (torch.randn(1, shape.rows - 1, actions), torch.randn(1, state), torch.tensor([0]), *caches)
    module = Flow(shape, count, steps, actions, state).eval()
    return exported(module, inputs, ["x", "state", "step", *names])
