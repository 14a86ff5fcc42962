"""The sampler: DPM-Solver++ of second order, multistep (Lu et al. 2022, arXiv 2211.01095), of few steps.

Each step reads the action that the network says now and the one that it said before. The first and the last step are
of first order; the last one's result is the action that the network says there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from vla_models.sampling import ACTION
from vla_models.sampling.noise_schedule import TRAINING_STEPS, signal

__all__ = ["DpmSolver", "SolverStep", "solver_steps"]


@dataclass(frozen=True)
class SolverStep:
    """From one chunk to the next: x * chunk + now * action + before * the action of the step before.

    `time` is what the network is told.
    """

    time: float
    x: float
    now: float
    before: float


def solver_steps(count: int) -> tuple[SolverStep, ...]:
    """The coefficients of a sampler of so many steps, evenly spaced over the training's."""
    numbers = np.linspace(0, TRAINING_STEPS - 1, count + 1).round().astype(int)[:0:-1]
    left = signal()[numbers]
    alpha, sigma = np.append(np.sqrt(left), 1.0), np.append(np.sqrt(1 - left), 0.0)
    with np.errstate(divide="ignore"):
        clean = np.log(alpha) - np.log(sigma)  # half the logarithm of the signal-to-noise ratio; at the end infinite
    found = []
    for i in range(count):
        gain = -alpha[i + 1] * np.expm1(clean[i] - clean[i + 1])
        slope = 0.0
        if 0 < i < count - 1:  # a line through the last two actions
            slope = gain / 2 * (clean[i + 1] - clean[i]) / (clean[i] - clean[i - 1])
        found.append(SolverStep(numbers[i] / TRAINING_STEPS, sigma[i + 1] / sigma[i], gain + slope, -slope))
    return tuple(SolverStep(*map(float, (s.time, s.x, s.now, s.before))) for s in found)


class DpmSolver(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """`forward(*observation, noise)` is the chunk after so many steps of a `Denoiser` that says actions."""

    asks: ClassVar[str] = ACTION

    def __init__(self, policy: nn.Module, steps: int) -> None:
        super().__init__()
        self.policy, self.steps = policy, solver_steps(steps)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """(N, horizon, actions)."""
        *observation, x = inputs
        condition = self.policy.condition(*observation)
        rows = self.policy.time_rows(torch.tensor([step.time for step in self.steps], device=x.device))
        before: torch.Tensor | None = None
        for number, step in enumerate(self.steps):
            action = self.policy.predict(x, rows[number : number + 1], condition)
            moved = step.now * action if before is None or not step.before else step.now * action + step.before * before
            x = step.x * x + moved if step.x else moved
            before = action
        return x
