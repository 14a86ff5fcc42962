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

__all__ = ["DpmLoop", "DpmSolver", "SolverStep", "solver_steps"]


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


class DpmLoop(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """The same sampler, of steps that are equal but for rows of constants: the compiler makes a loop of them.

    `forward(*observation, state)` is the state after all steps. A state (N, 2 * horizon, actions) is the chunk on its
    way, and behind it the action that the network said last, zeros in front of the first step.

    Args:
        policy: a `Denoiser` that says actions.
        steps: how many.
        values: of an action.
    """

    asks: ClassVar[str] = ACTION

    def __init__(self, policy: nn.Module, steps: int, values: int) -> None:
        super().__init__()
        self.policy, found = policy, solver_steps(steps)
        self.register_buffer("times", torch.tensor([step.time for step in found]), persistent=False)
        rows = torch.tensor([[step.x, step.now, step.before] for step in found])[:, :, None].repeat(1, 1, values)
        self.register_buffer("rows", rows, persistent=False)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """(N, 2 * horizon, actions); the chunk is the first half."""
        *observation, state = inputs
        condition = self.policy.condition(*observation)
        times = self.policy.time_rows(self.times)
        for number, (of_x, of_now, of_before) in enumerate(self.rows):
            x, before = state.chunk(2, dim=1)
            action = self.policy.predict(x, times[number : number + 1], condition)
            state = torch.cat([of_x * x + of_now * action + of_before * before, action], dim=1)
        return state
