"""Resize images by triangles as wide as a pixel of the smaller one: torchvision's antialiased `Resize`, in numpy."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["resize"]

Floats = npt.NDArray[np.float32]


def resize(images: Floats, size: Sequence[int]) -> Floats:
    """Images (..., H, W) as (..., *size)."""
    rows, columns = (_weights(n, m) for n, m in zip(images.shape[-2:], size, strict=True))
    found: Floats = np.asarray(rows @ images @ columns.T, np.float32)
    return found


@functools.cache
def _weights(before: int, after: int) -> Floats:
    """What each of the pixels before counts in each of those after: (after, before), rows of sum 1."""
    step = before / after  # from the middle of a pixel to that of the next one, in pixels before
    middles = (np.arange(after) + 0.5) * step
    away = np.abs(np.arange(before) + 0.5 - middles[:, None]) / max(step, 1.0)
    triangle = np.maximum(1 - away, 0)
    weights: Floats = (triangle / triangle.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights
