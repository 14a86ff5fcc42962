"""Temporal ensembling (Zhao et al. 2023, arXiv 2304.13705): one action of all the chunks that say something of now."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

__all__ = ["Ensemble"]

Floats = npt.NDArray[np.float32]


class Ensemble:
    """Keeps the chunks of an episode, asked for one a step, as long as they reach to now.

    Args:
        horizon: steps of a chunk.
        decay: m of the weights exp(-m i), where i is 0 for the oldest chunk: above 0, older ones count more.
    """

    def __init__(self, horizon: int, decay: float) -> None:
        self._chunks: deque[Floats] = deque(maxlen=horizon)
        self._decay = decay

    def clear(self) -> None:
        """Forget the chunks."""
        self._chunks.clear()

    def action(self, chunk: Floats) -> Floats:
        """The weighted mean (values,) of what this chunk and those before it say of now.

        Args:
            chunk: (horizon, values), the newest, from now on. Chunks are averaged as they are, so they must not be
                relative to anything that moves.
        """
        self._chunks.append(chunk)
        ages = range(len(self._chunks))
        said = np.stack([old[age] for age, old in zip(reversed(ages), self._chunks, strict=True)])  # oldest first
        weights = np.exp(-self._decay * np.arange(len(said)))
        return np.average(said, axis=0, weights=weights).astype(np.float32)
