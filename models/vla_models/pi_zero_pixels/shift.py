"""Pictures of the plane moved by whole pixels, and all places in it: more places to learn from (Kostrikov et al. 2020,
arXiv 2004.13649). Actions are relative to the pusher, so they stay what they are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vla_datasets.worlds.pusht.schema import SIDE
from vla_datasets.worlds.pusht_pixels.schema import IMAGE_SHAPE
from vla_models.pusht.observation import Places

__all__ = ["moved", "moved_places"]

_PIXEL = SIDE / IMAGE_SHAPE[0]  # px of the plane
U8 = npt.NDArray[np.uint8]


def moved(images: U8, by: npt.NDArray[np.int64]) -> U8:
    """Pictures (N, S, S, 3) moved by (N, 2) pixels, x and y; their edges are repeated."""
    count, side = images.shape[:2]
    columns, rows = (np.clip(np.arange(side) - by[:, axis, np.newaxis], 0, side - 1) for axis in (0, 1))
    found: U8 = images[np.arange(count)[:, np.newaxis, np.newaxis], rows[:, :, np.newaxis], columns[:, np.newaxis]]
    return found


def moved_places(places: Places, by: npt.NDArray[np.int64]) -> Places:
    """The places, moved by as many pixels (N, 2) of the picture."""
    px = (by * _PIXEL).astype(np.float32)
    return Places(places.pusher + px, *(p + np.tile(px, 8) for p in (places.keypoints, places.goal)))
