"""The network: corners and their goals, then the state, then the actions on their way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from vla_models.chunks.names import ACTIONS, NOISE
from vla_models.pi_zero.config import PiZeroConfig
from vla_models.pi_zero.experts import Cache, Expert, RmsNorm, rotary
from vla_models.policy import Batch, GraphSpec
from vla_models.pusht.batches import chunk_of, places_of, pusht_windows
from vla_models.pusht.names import CORNERS, CORNERS_INPUT, STATE_INPUT
from vla_models.pusht.observation import token_inputs, wave_count
from vla_models.sampling.euler import EulerSampler
from vla_models.sampling.times import waves

__all__ = ["PiZero"]

_ACTION = 2  # x and y


class PiZero(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """`forward` is the velocity of a chunk on its way."""

    def __init__(self, config: PiZeroConfig) -> None:
        super().__init__()
        self.config = c = config
        self.windows = pusht_windows(c.horizon)
        waves_each = wave_count(c.periods)
        self.corners = nn.Linear(4 * waves_each, c.prefix_width)
        self.which = nn.Parameter(0.02 * torch.randn(CORNERS, c.prefix_width))
        self.state = nn.Linear(2 * waves_each, c.action_width)
        self.action, self.action_time = nn.Linear(_ACTION, c.action_width), nn.Linear(c.action_width, c.action_width)
        self.time = nn.Linear(c.action_width, c.action_width, bias=False)
        self.action_out = nn.Linear(c.action_width, c.action_width)
        shape = (c.heads, c.key_heads, c.head_width)
        self.prefix_expert = Expert(c.depth, c.prefix_width, c.prefix_hidden, *shape)
        self.action_expert = Expert(c.depth, c.action_width, c.action_hidden, *shape)
        self.norm, self.out = RmsNorm(c.action_width), nn.Linear(c.action_width, _ACTION)
        first = 0
        for name, count in (("prefix", CORNERS), ("state", 1), ("action", c.horizon)):
            for part, table in zip(("cos", "sin"), rotary(first, count, c.head_width), strict=True):
                self.register_buffer(f"{name}_{part}", table, persistent=False)
            first += count

    def forward(
        self, corners: torch.Tensor, state: torch.Tensor, noise: torch.Tensor, time: torch.Tensor
    ) -> torch.Tensor:
        """(N, horizon, 2).

        Args:
            corners: (N, 8, features), see `vla_models.pusht.observation`.
            state: (N, features).
            noise: (N, horizon, 2), the chunk on its way.
            time: (N,) in [0, 1], how far it is.
        """
        return self.predict(noise, self.time_rows(time)[:, None], self.condition(corners, state))

    def condition(self, corners: torch.Tensor, state: torch.Tensor) -> tuple[Cache, ...]:
        """Keys and values of what is seen, and of the state that sees it."""
        seen = self.corners(corners) + self.which
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

    def _places(self, block: str) -> Cache:
        return getattr(self, f"{block}_cos"), getattr(self, f"{block}_sin")

    def graphs(self) -> tuple[GraphSpec, ...]:
        """One graph, one call a chunk: the prefix once, then all steps."""
        return (GraphSpec("policy", EulerSampler(self, self.config.sampler_steps), self._example, (ACTIONS,)),)

    def _example(self, batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        waves_each = wave_count(self.config.periods)
        return {
            CORNERS_INPUT: torch.rand(batch, CORNERS, 4 * waves_each, generator=generator) * 2 - 1,
            STATE_INPUT: torch.rand(batch, 2 * waves_each, generator=generator) * 2 - 1,
            NOISE: torch.randn(batch, self.config.horizon, _ACTION, generator=generator),
        }

    def prepare(self, samples: Mapping[str, Any]) -> Batch:
        """Corners and state, noise (from torch's own generator) and the expert's chunk (N, horizon, 2)."""
        chunk, places = chunk_of(samples), places_of(samples)
        inputs = {name: make(places) for name, make in token_inputs(self.config.periods).items()}
        tensors = {name: torch.from_numpy(values).to(chunk.device) for name, values in inputs.items()}
        return Batch({**tensors, NOISE: torch.randn_like(chunk)}, chunk)
