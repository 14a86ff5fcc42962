"""The sampler: Euler steps from noise to a chunk, in a graph of its own that the compiler makes a loop of."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn

__all__ = ["EulerSampler", "FlowPolicy"]


class FlowPolicy(Protocol):
    """What the sampler asks of a network."""

    def condition(self, *observation: torch.Tensor) -> Any:
        """What does not depend on the step: computed once a chunk."""

    def time_rows(self, times: torch.Tensor) -> torch.Tensor:
        """What the network knows of each of the times (T,): (T, width)."""

    def velocity(self, x: torch.Tensor, time_row: torch.Tensor, condition: Any) -> torch.Tensor:
        """Of a chunk (N, horizon, actions) on its way at times (N or 1, width)."""


class EulerSampler(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """`forward(*observation, noise)` is the chunk after so many steps."""

    def __init__(self, policy: nn.Module, steps: int) -> None:
        super().__init__()
        self.policy, self.steps = policy, steps

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """(N, horizon, actions)."""
        *observation, x = inputs
        condition = self.policy.condition(*observation)
        rows = self.policy.time_rows(torch.arange(self.steps, device=x.device) / self.steps)
        for step in range(self.steps):
            x = x + self.policy.velocity(x, rows[step : step + 1], condition) * (1.0 / self.steps)
        return x
