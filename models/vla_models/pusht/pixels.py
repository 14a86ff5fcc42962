"""From a picture of the plane to the inputs of a policy, with numpy, for training and robot alike.

A policy says places relative to the pusher; so it is told where each patch of its picture is, relative to the pusher.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vla_datasets.worlds.pusht.schema import SIDE
from vla_models.pusht.observation import features

__all__ = ["patch_rows", "pixels"]

Floats = npt.NDArray[np.float32]


def pixels(images: npt.NDArray[np.uint8]) -> Floats:
    """Pictures (N, S, S, 3) as (N, 3, S, S) in [-1, 1]."""
    found: Floats = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)
    found /= np.float32(127.5)
    found -= np.float32(1)
    return found


def patch_rows(pusher: Floats, grid: int, periods: Sequence[float]) -> Floats:
    """Where the middles of grid x grid patches are from pushers (N, 2): (N, grid * grid, 2 * `wave_count`), by rows."""
    middles = ((np.arange(grid) + 0.5) * (SIDE / grid)).astype(np.float32)
    places = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(1, -1, 2)
    return features(places - pusher[:, np.newaxis], periods)
