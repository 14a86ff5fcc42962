"""Frames of a data set as inputs of a policy that LeRobot trained: what calibration reads, and random ones.

Not here: the robot's side (`preprocess.py`; a test holds that both make the same inputs).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from vla_datasets.keys import ACTION
from vla_models.lerobot.features import Feature

__all__ = ["observed_inputs", "random_inputs", "window_keys"]


def window_keys(inputs: Mapping[str, Feature], history: int, steps: Sequence[int]) -> dict[str, Sequence[int]]:
    """Per key the steps around a frame: what the network sees, and of the action `steps`."""
    return {**{feature.key: tuple(range(1 - history, 1)) for feature in inputs.values()}, ACTION: tuple(steps)}


def observed_inputs(inputs: Mapping[str, Feature], samples: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Of windows (N, steps, ...) vectors (N, steps * n) and images (N, steps * 3, H, W), normalized."""
    found = {}
    for name, feature in inputs.items():
        values = samples[feature.key]
        seen = torch.from_numpy(feature.normalized(values.cpu().numpy()))
        found[name] = seen.flatten(1, 2).to(values.device)
    return found


def random_inputs(
    inputs: Mapping[str, Feature], history: int, batch: int, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Such inputs, of a standard normal."""
    return {
        name: torch.randn(batch, history * f.seen[0], *f.seen[1:], generator=generator) for name, f in inputs.items()
    }
