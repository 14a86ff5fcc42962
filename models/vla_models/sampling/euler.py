"""The sampler: Euler steps from noise to a chunk, in a graph of its own that the compiler makes a loop of."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from vla_models.sampling import VELOCITY

__all__ = ["EulerSampler"]


class EulerSampler(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """`forward(*observation, noise)` is the chunk after so many steps of a `Denoiser` that says velocities."""

    asks: ClassVar[str] = VELOCITY

    def __init__(self, policy: nn.Module, steps: int) -> None:
        super().__init__()
        self.policy, self.steps = policy, steps

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """(N, horizon, actions)."""
        *observation, x = inputs
        condition = self.policy.condition(*observation)
        rows = self.policy.time_rows(torch.arange(self.steps, device=x.device) / self.steps)
        for step in range(self.steps):
            x = x + self.policy.predict(x, rows[step : step + 1], condition) * (1.0 / self.steps)
        return x
