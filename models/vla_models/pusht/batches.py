"""Training batches of the Push-T policies.

Not here: losses (`vla_training.objectives`), the robot's side (`preprocess.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from vla_datasets.keys import ACTION, STATE
from vla_datasets.worlds.pusht.schema import GOAL, KEYPOINTS
from vla_models.pusht.names import ACTION_UNIT
from vla_models.pusht.observation import Places

__all__ = ["chunk_of", "places_of", "pusht_windows"]


def pusht_windows(horizon: int) -> dict[str, Sequence[int]]:
    """The steps around a frame that are trained on: what is seen now, and the chunk from now on."""
    return {STATE: (0,), KEYPOINTS: (0,), GOAL: (0,), ACTION: tuple(range(horizon))}


def places_of(samples: Mapping[str, Any]) -> Places:
    """What is seen now."""
    pusher, keypoints, goal = (samples[key][:, 0].cpu().numpy() for key in (STATE, KEYPOINTS, GOAL))
    return Places(pusher, keypoints, goal)


def chunk_of(samples: Mapping[str, Any]) -> torch.Tensor:
    """The expert's chunk (N, horizon, 2) relative to the pusher of now; behind an episode's end its last action."""
    chunk: torch.Tensor = (samples[ACTION].float() - samples[STATE].float()) / ACTION_UNIT
    return chunk
