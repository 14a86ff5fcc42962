"""Smaller images by the mean of whole pixels: the same bytes in training, calibration and on the robot."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError

__all__ = ["shrink"]


def shrink(images: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Square images (..., S, S, C) as (..., side, side, C): each pixel the mean of (S/side)^2, rounded half up.

    Raises:
        DatasetError: the images are not square, or `side` does not divide S.
    """
    *more, height, width, channels = images.shape
    if height != width or side < 1 or height % side:
        raise DatasetError(f"images of {height} x {width} cannot be averaged to {side} x {side}; it must divide them.")
    if height == side:
        return images
    k = height // side
    blocks = images.reshape(*more, side, k, side, k, channels)
    total = blocks.sum(axis=(-4, -2), dtype=np.uint32)
    means: npt.NDArray[np.uint8] = ((2 * total + k * k) // (2 * k * k)).astype(np.uint8)
    return means
