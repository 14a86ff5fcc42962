"""Training batches of pictures: whose goal is seen, and what training moves.

Not here: the inputs that training and robot share (`pusht/pixels.py`, `pusht/observation.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vla_datasets.worlds.pusht.schema import KEYPOINTS
from vla_datasets.worlds.pusht_pixels.schema import GOAL_IMAGE, IMAGE
from vla_models.pi_zero_pixels.config import PiZeroPixelsConfig
from vla_models.pi_zero_pixels.shift import moved, moved_places
from vla_models.pusht.batches import places_of, pusht_windows
from vla_models.pusht.names import GOAL_INPUT, IMAGE_INPUT
from vla_models.pusht.observation import Places

__all__ = ["pixels_windows", "seen"]

_LAST = 1_000_000  # steps ahead: behind every episode's end, where its last frame is repeated

U8 = npt.NDArray[np.uint8]


def pixels_windows(config: PiZeroPixelsConfig) -> dict[str, Sequence[int]]:
    """The steps around a frame that are trained on; for goals in hindsight also an episode's last frame."""
    now = (0, _LAST) if config.hindsight else (0,)
    goal = {GOAL_IMAGE: (0,)} if config.goal else {}
    return {**pusht_windows(config.horizon), KEYPOINTS: now, IMAGE: now, **goal}


def seen(samples: Mapping[str, Any], config: PiZeroPixelsConfig, training: bool) -> tuple[dict[str, U8], Places]:
    """The pictures (N, 96, 96, 3) by input, and the places that they show.

    In training, drawn by torch's own generator, the goal of a share of the frames is where the episode left the block,
    in its last picture: there the pusher is seen beside it, as in no goal's picture. And all of it is moved.
    """
    images, places = {IMAGE_INPUT: _step(samples[IMAGE], 0)}, places_of(samples)
    if config.goal:
        images[GOAL_INPUT] = _step(samples[GOAL_IMAGE], 0)
    count = len(places.pusher)
    if training and config.hindsight:
        left = (torch.rand(count) < config.hindsight).numpy()
        images[GOAL_INPUT] = np.where(left[:, None, None, None], _step(samples[IMAGE], 1), images[GOAL_INPUT])
        places = places._replace(goal=np.where(left[:, None], _step(samples[KEYPOINTS], 1), places.goal))
    if training and config.shift:
        by = torch.randint(-config.shift, config.shift + 1, (count, 2)).numpy()
        images = {name: moved(pictures, by) for name, pictures in images.items()}
        places = moved_places(places, by)
    return images, places


def _step(windows: torch.Tensor, number: int) -> npt.NDArray[Any]:
    """Of windows (N, steps, ...)."""
    found: npt.NDArray[Any] = windows[:, number].cpu().numpy()
    return found
