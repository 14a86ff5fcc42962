"""The network: residual blocks over what is seen, and for a flow the chunk on its way and its time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from vla_models.chunks.names import ACTIONS, NOISE
from vla_models.mlp_policy.config import MlpPolicyConfig
from vla_models.policy import Batch, GraphSpec
from vla_models.pusht.batches import chunk_of, places_of, pusht_windows
from vla_models.pusht.names import OBSERVATION
from vla_models.pusht.observation import flat_row, wave_count
from vla_models.sampling.dpm_solver import DpmSolver
from vla_models.sampling.euler import EulerSampler
from vla_models.sampling.times import waves

__all__ = ["MlpPolicy"]

_PLACES = 2 + 16 + 16  # coordinates: pusher, keypoints, goal


class Block(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A residual block of rows (N, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = x + self.down(nn.functional.silu(self.up(self.norm(x))))
        return y


class MlpPolicy(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """`forward` says the velocity of a chunk on its way (flow), or the chunk."""

    def __init__(self, config: MlpPolicyConfig) -> None:
        super().__init__()
        self.config = config
        self.windows = pusht_windows(config.horizon)
        width, values = config.width, 2 * config.horizon
        self.seen = nn.Linear(self._features(), width)
        if config.method != "direct":
            self.chunk, self.time = nn.Linear(values, width, bias=False), nn.Linear(width, width, bias=False)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(config.blocks)))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, values)

    def forward(
        self, observation: torch.Tensor, noise: torch.Tensor | None = None, time: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(N, horizon, 2).

        Args:
            observation: (N, F), see `vla_models.pusht.observation`.
            noise: (N, horizon, 2), the chunk on its way.
            time: (N,) in [0, 1], how far it is.
        """
        if noise is None or time is None:
            return self._made(self.condition(observation))
        return self.predict(noise, self.time_rows(time), self.condition(observation))

    def condition(self, observation: torch.Tensor) -> torch.Tensor:
        """(N, width)."""
        seen: torch.Tensor = self.seen(observation)
        return seen

    def time_rows(self, times: torch.Tensor) -> torch.Tensor:
        """Of times (T,): (T, width)."""
        rows: torch.Tensor = self.time(waves(times, self.config.width))
        return rows

    def predict(self, x: torch.Tensor, time_row: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Of chunks (N, horizon, 2) on their way."""
        return self._made(
            self.chunk(x.flatten(1)) + time_row + condition
        )  # in this order equal steps are a loop of the program

    def _made(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.out(self.norm(self.blocks(x)))
        return made.unflatten(1, (self.config.horizon, 2))

    def _features(self) -> int:
        return _PLACES * wave_count(self.config.periods)

    def graphs(self) -> tuple[GraphSpec, ...]:
        """One graph, one call a chunk: with a sampler all its steps."""
        samplers = {"flow": EulerSampler, "diffusion": DpmSolver}
        make = samplers.get(self.config.method)
        module = self if make is None else make(self, self.config.sampler_steps)
        return (GraphSpec("policy", module, self._example, (ACTIONS,)),)

    def _example(self, batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        found = {OBSERVATION: torch.rand(batch, self._features(), generator=generator) * 2 - 1}
        if self.config.method != "direct":
            found[NOISE] = torch.randn(batch, self.config.horizon, 2, generator=generator)
        return found

    def prepare(self, samples: Mapping[str, Any]) -> Batch:
        """The observation, noise (from torch's own generator) and the expert's chunk (N, horizon, 2)."""
        chunk = chunk_of(samples)
        row = torch.from_numpy(flat_row(places_of(samples), self.config.periods))
        inputs = {OBSERVATION: row.to(chunk.device)}
        if self.config.method != "direct":
            inputs[NOISE] = torch.randn_like(chunk)
        return Batch(inputs, chunk)
