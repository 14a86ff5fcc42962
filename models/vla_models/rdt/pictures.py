"""Pictures as the network takes them, with numpy, for training and robot."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["network_pictures", "no_picture"]

Floats = npt.NDArray[np.float32]


def network_pictures(pixels: npt.NDArray[Any]) -> Floats:
    """RGB bytes (N, height, width, 3) as (N, 3, height, width) in [-1, 1], as SigLIP takes them."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32) / np.float32(127.5) - np.float32(1)


def no_picture(height: int, width: int) -> Floats:
    """What stands for a picture that is missing, (1, 3, height, width): the mean colour."""
    return np.zeros((1, 3, height, width), np.float32)
