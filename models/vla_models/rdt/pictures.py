"""Pictures as the network takes them, with numpy, for training and robot."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vla_models.rdt.config import RdtConfig

__all__ = ["network_picture", "network_pictures", "no_picture"]

Floats = npt.NDArray[np.float32]


def network_pictures(pixels: npt.NDArray[Any]) -> Floats:
    """RGB bytes (N, height, width, 3) as (N, 3, height, width) in [-1, 1], as SigLIP takes them."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32) / np.float32(127.5) - np.float32(1)


def no_picture(config: RdtConfig) -> Floats:
    """What stands for a picture that is missing, (1, 3, height, width): the mean colour."""
    return np.zeros((1, 3, config.image_height, config.image_width), np.float32)


def network_picture(config: RdtConfig, pixels: npt.NDArray[Any] | None) -> Floats:
    """One picture, (1, 3, height, width), of RGB bytes (height, width, 3) or of none."""
    return no_picture(config) if pixels is None else network_pictures(pixels[None])
