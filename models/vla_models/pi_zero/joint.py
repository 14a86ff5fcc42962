"""The policy behind what it sees: an expert of it, and one of the state and of the actions on their way.

Not here: where the tokens of what is seen come from (`model.py`; `pi_zero_pixels`), an expert's layers (`experts.py`).
"""

from __future__ import annotations

import torch
from torch import nn

from vla_models.chunks.names import ACTIONS, NOISE
from vla_models.pi_zero.config import PiZeroConfig
from vla_models.pi_zero.experts import Cache, Expert, RmsNorm, rotary
from vla_models.policy import GraphSpec
from vla_models.pusht.names import STATE_INPUT
from vla_models.pusht.observation import wave_count
from vla_models.sampling.euler import EulerSampler
from vla_models.sampling.times import waves

__all__ = ["JointExperts"]

_ACTION = 2  # x and y


class JointExperts(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A `Denoiser` but for `condition`, which is `keep` of the tokens of what is seen.

    Args:
        config: the sizes.
        seen: tokens of what is seen.
    """

    def __init__(self, config: PiZeroConfig, seen: int) -> None:
        super().__init__()
        self.config = c = config
        self.state = nn.Linear(2 * wave_count(c.periods), c.action_width)
        self.action, self.action_time = nn.Linear(_ACTION, c.action_width), nn.Linear(c.action_width, c.action_width)
        self.time = nn.Linear(c.action_width, c.action_width, bias=False)
        self.action_out = nn.Linear(c.action_width, c.action_width)
        shape = (c.heads, c.key_heads, c.head_width)
        self.prefix_expert = Expert(c.depth, c.prefix_width, c.prefix_hidden, *shape)
        self.action_expert = Expert(c.depth, c.action_width, c.action_hidden, *shape)
        self.norm, self.out = RmsNorm(c.action_width), nn.Linear(c.action_width, _ACTION)
        first = 0
        for name, count in (("prefix", seen), ("state", 1), ("action", c.horizon)):
            for part, table in zip(("cos", "sin"), rotary(first, count, c.head_width), strict=True):
                self.register_buffer(f"{name}_{part}", table, persistent=False)
            first += count

    def keep(self, seen: torch.Tensor, state: torch.Tensor) -> tuple[Cache, ...]:
        """Keys and values of what is seen, and of the state that sees it.

        Args:
            seen: tokens (N, tokens, prefix width).
            state: (N, features).
        """
        _, past = self.prefix_expert(seen, self._places("prefix"))
        known: tuple[Cache, ...]
        _, known = self.action_expert(self.state(state)[:, None], self._places("state"), past)
        return known

    def time_rows(self, times: torch.Tensor) -> torch.Tensor:
        """Of times (T,): (T, width)."""
        rows: torch.Tensor = self.time(waves(times, self.config.action_width))
        return rows

    def predict(self, x: torch.Tensor, time_row: torch.Tensor, condition: tuple[Cache, ...]) -> torch.Tensor:
        """Of chunks (N, horizon, 2) on their way; the time is mixed into each action's token."""
        tokens = self.action_out(nn.functional.silu(self.action_time(self.action(x)) + time_row))
        tokens, _ = self.action_expert(tokens, self._places("action"), condition)
        velocity: torch.Tensor = self.out(self.norm(tokens))
        return velocity

    def graphs(self) -> tuple[GraphSpec, ...]:
        """One graph, one call a chunk: the prefix once, then all steps."""
        return (GraphSpec("policy", EulerSampler(self, self.config.sampler_steps), self._example, (ACTIONS,)),)

    def _example(self, batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        shapes = {**self.seen_shapes(), STATE_INPUT: (2 * wave_count(self.config.periods),)}
        seen = {name: torch.rand(batch, *shape, generator=generator) * 2 - 1 for name, shape in shapes.items()}
        return {**seen, NOISE: torch.randn(batch, self.config.horizon, _ACTION, generator=generator)}

    def seen_shapes(self) -> dict[str, tuple[int, ...]]:
        """Inputs of what is seen, without the state: their shapes without a batch; values are in [-1, 1]."""
        raise NotImplementedError

    def _places(self, block: str) -> Cache:
        return getattr(self, f"{block}_cos"), getattr(self, f"{block}_sin")
