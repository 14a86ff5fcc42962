"""How noisy each of the training's steps is: the squared cosine of Nichol and Dhariwal 2021 (arXiv 2102.09672)."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

__all__ = ["MOST_STEPS", "TRAINING_STEPS", "signal", "squared_cosine"]

TRAINING_STEPS = 1000
MOST_STEPS = TRAINING_STEPS - 1  # of a sampler: with more of them two would be at the same time
_OFFSET = 0.008
_MOST = 0.999  # of a step's variance


def squared_cosine(count: int) -> npt.NDArray[np.float64]:
    """The variance of the noise that each of so many steps adds (T,)."""
    times = np.arange(count + 1) / count
    left = np.cos((times + _OFFSET) / (1 + _OFFSET) * np.pi / 2) ** 2
    added: npt.NDArray[np.float64] = np.minimum(1 - left[1:] / left[:-1], _MOST)
    return added


@functools.cache
def signal() -> npt.NDArray[np.float64]:
    """Share of the action's variance that is left at each step (T,), from nearly 1 down to nearly 0."""
    found: npt.NDArray[np.float64] = np.cumprod(1 - squared_cosine(TRAINING_STEPS), dtype=np.float64)
    return found
