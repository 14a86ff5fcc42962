"""The samplers of Diffusion Policy, one step as one line of numbers: DDIM and DDPM, with the action that each step
believes in cut to a range.

DDIM (Song et al. 2020, arXiv 2010.02502) without noise of its own; DDPM (Ho et al. 2020, arXiv 2006.11239), which draws
noise in each step but the last. The network says the noise or the action. Times and numbers are those of diffusers'
schedulers with `timestep_spacing` leading and variance `fixed_small`; a test holds them against it.
Not here: the chunk on its way with DPM-Solver++ (`dpm_solver.py`), which cuts nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from vla_models.sampling.noise_schedule import squared_cosine

__all__ = ["SCHEDULES", "ClippedSampler", "ClippedStep", "clipped_steps"]

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClippedStep:
    """From one chunk to the next: x * chunk + said * network's + clean * action + drawn * noise.

    The action is believed_x * chunk + believed_said * network's, cut. `time` is what the network is told.
    """

    time: int
    believed_x: float
    believed_said: float
    x: float
    said: float
    clean: float
    drawn: float


def _linear(count: int, first: float, last: float) -> Doubles:
    return np.linspace(first, last, count)


def _scaled_linear(count: int, first: float, last: float) -> Doubles:
    return np.linspace(first**0.5, last**0.5, count) ** 2


def _squared_cosine(count: int, first: float, last: float) -> Doubles:
    return squared_cosine(count)


# by diffusers' names, the variance of the noise that each step adds: of their number, the first's and the last's
SCHEDULES: Mapping[str, Callable[[int, float, float], Doubles]] = {
    "linear": _linear,
    "scaled_linear": _scaled_linear,
    "squaredcos_cap_v2": _squared_cosine,
}


def clipped_steps(kind: str, noises: Doubles, count: int, says_noise: bool) -> tuple[ClippedStep, ...]:
    """The steps of a sampler.

    Args:
        kind: `DDIM` or `DDPM`.
        noises: of the training's steps, see `SCHEDULES`.
        count: of the sampler's steps, at most as many.
        says_noise: whether the network says the noise, or the action.
    """
    stride = len(noises) // count
    left = np.cumprod(1 - noises)  # of the action's variance
    found = []
    for time in reversed(range(0, count * stride, stride)):
        now, after = left[time], left[time - stride] if time else 1.0
        signal, noise = now**0.5, (1 - now) ** 0.5
        believed = (1 / signal, -noise / signal) if says_noise else (0.0, 1.0)
        if kind == "DDIM":  # the noise that the network sees stays, and there is less of it
            stays = (1 - after) ** 0.5
            moved = (0.0, stays) if says_noise else (stays / noise, -stays * signal / noise)
            rest = (after**0.5, 0.0)
        else:
            kept = now / after
            variance = (1 - after) / (1 - now) * (1 - kept)  # 0 in the last step
            moved = (kept**0.5 * (1 - after) / (1 - now), 0.0)
            rest = (after**0.5 * (1 - kept) / (1 - now), variance**0.5)
        found.append(ClippedStep(time, *map(float, (*believed, *moved, *rest))))
    return tuple(found)


class ClippedSampler(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """`forward(*observation, noise)` is the chunk after all steps of a `Denoiser`; DDPM takes `step_noise` behind it.

    The program has all steps one behind another, each with scales of its own: a chunk on its way becomes ever smaller.

    Args:
        policy: the denoiser.
        steps: see `clipped_steps`.
        reach: actions that the sampler believes in are from -reach to reach; None: they are not cut.
    """

    def __init__(self, policy: nn.Module, steps: Sequence[ClippedStep], reach: float | None) -> None:
        super().__init__()
        self.policy, self.steps, self.reach = policy, tuple(steps), reach
        self.draws = any(step.drawn for step in steps)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """(N, horizon, actions)."""
        observation, x = inputs[: -2 if self.draws else -1], inputs[-2 if self.draws else -1]
        condition = self.policy.condition(*observation)
        rows = self.policy.time_rows(torch.tensor([float(step.time) for step in self.steps], device=x.device))
        for number, step in enumerate(self.steps):
            said = self.policy.predict(x, rows[number : number + 1], condition)
            believed = _sum((step.believed_x, x), (step.believed_said, said))
            if self.reach is not None:
                believed = believed.clamp(-self.reach, self.reach)
            x = _sum((step.x, x), (step.said, said), (step.clean, believed))
            if step.drawn:
                x = x + inputs[-1][:, number] * step.drawn
        return x


def _sum(*terms: tuple[float, torch.Tensor]) -> torch.Tensor:
    parts = [factor * tensor for factor, tensor in terms if factor]
    return sum(parts[1:], parts[0])
