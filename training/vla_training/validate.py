"""How good the weights of now are: loss on episodes that training never sees, and success in the world if asked for.

Not here: evaluation of a finished policy on other backends (`evaluate/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vla_datasets.lerobot.windows import Windows
from vla_models.draws import Draws
from vla_training.config.run import TrainConfig
from vla_training.evaluate.closed_loop import play_module
from vla_training.sampler import seed_step

__all__ = ["Scores", "to_tensors", "validate"]

_BATCH = 256
_SAMPLED = 64  # frames, spread over the episodes: each is many calls of the network


@dataclass(frozen=True)
class Scores:
    """Numbers for the log, and the one by which checkpoints are compared: more is better."""

    values: Mapping[str, float]
    score: float


def to_tensors(samples: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """The arrays of windows as tensors on a device; sentences stay."""
    return {
        key: torch.from_numpy(value).to(device) if isinstance(value, np.ndarray) else value
        for key, value in samples.items()
    }


def validate(config: TrainConfig[Any, Any], policy: torch.nn.Module, frames: Windows, device: torch.device) -> Scores:
    """Mean loss and metrics over the held-out frames; with `validate_episodes`, the mean score of those episodes.

    The score is that of those episodes, or what the objective's `judge` says, or the loss's negative.
    Where the objective has `sampled`, its numbers too, as `<world>_sample_<name>`, of some of the frames.
    """
    policy.eval()
    totals: dict[str, float] = {}
    each: dict[str, list[np.ndarray[Any, Any]]] = {}  # of every frame
    prepare: Any = policy.prepare
    order = np.arange(len(frames))
    with torch.no_grad():
        for start in range(0, len(order), _BATCH):
            numbers = order[start : start + _BATCH]
            batch = prepare(to_tensors(frames.batch(numbers), device))
            draws = Draws(seed_step(device, config.seed, start))
            loss, metrics = config.objective_options.loss(policy, batch, draws)
            for name, value in {"loss": loss, **metrics}.items():
                if isinstance(value, torch.Tensor) and value.ndim:
                    each.setdefault(name, []).append(value.cpu().numpy())
                else:
                    totals[name] = totals.get(name, 0.0) + float(value) * len(numbers)
    values = {f"validation_{name}": total / len(frames) for name, total in totals.items()}
    score = -values["validation_loss"]
    judge = getattr(config.objective_options, "judge", None)
    if judge is not None:
        found, score = judge({name: np.concatenate(parts) for name, parts in each.items()})
        values |= {f"validation_{name}": value for name, value in found.items()}
    sampled = getattr(config.objective_options, "sampled", None)
    if sampled is not None:
        numbers = np.unique(np.linspace(0, len(frames) - 1, _SAMPLED).astype(np.int64))
        batch = prepare(to_tensors(frames.batch(numbers), device))
        found = sampled(policy, batch, Draws(seed_step(device, config.seed, len(frames))))
        values |= {f"{config.world}_sample_{name}": value for name, value in found.items()}
    if not config.validate_episodes:
        return Scores(values, score)
    played = play_module(policy, config.saved_policy, config.world, config.level, config.validate_episodes)
    score = sum(episode.score for episode in played) / len(played)
    success = sum(episode.success for episode in played) / len(played)
    return Scores({**values, "validation_score": score, "validation_success": success}, score)
