"""Pictures as a tower takes them, with numpy, for training and robot; always with the tower's own normalization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.keys import image
from vla_models.errors import PolicyError
from vla_models.observed import read_picture
from vla_models.siglip.sizes import TowerSizes

__all__ = ["network_pictures", "seen_picture", "window_pictures"]

Floats = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]


def network_pictures(sizes: TowerSizes, pixels: U8) -> Floats:
    """RGB bytes (N, S, S, 3) as (N, 3, S, S)."""
    mean, std = (np.asarray(v, np.float32)[:, None, None] for v in (sizes.pixel_mean, sizes.pixel_std))
    found = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32) / np.float32(255)
    normalized: Floats = (found - mean) / std
    return normalized


def seen_picture(sizes: TowerSizes, observation: Mapping[str, Any]) -> Floats:
    """The picture of an observation, (1, 3, S, S).

    Raises:
        ObservationError: it is missing, of another size, or not of bytes.
    """
    side = sizes.image_size
    return network_pictures(sizes, read_picture(observation, image(sizes.camera), side, side)[None])


def window_pictures(sizes: TowerSizes, samples: Mapping[str, Any]) -> U8:
    """The pictures (N, S, S, 3) of the newest step of training windows.

    Raises:
        PolicyError: they are of another size.
    """
    key, side = image(sizes.camera), sizes.image_size
    pixels: U8 = samples[key][:, -1].cpu().numpy()
    if pixels.shape[1:] != (side, side, 3):
        height, width = pixels.shape[1:3]
        raise PolicyError(
            f"{sizes.policy}: '{key}' has pictures of {height} x {width}; the tower takes {side} x {side}. Give "
            f"'image_size', or import the set with --size {side}x{side}."
        )
    return pixels
