"""The robot's side of the pi-zero style policy that sees pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.worlds.pusht_pixels.schema import GOAL_IMAGE, IMAGE, IMAGE_SHAPE
from vla_models.observed import read_picture
from vla_models.pi_zero_pixels.config import GRID, PiZeroPixelsConfig
from vla_models.pusht.names import GOAL_INPUT, IMAGE_INPUT, PATCHES_INPUT, STATE_INPUT
from vla_models.pusht.observation import state_row
from vla_models.pusht.pixels import patch_rows, pixels
from vla_models.pusht.preprocess import ChunkPreprocessor

__all__ = ["PiZeroPixelsPreprocessor"]

Floats = npt.NDArray[np.float32]


class PiZeroPixelsPreprocessor(ChunkPreprocessor):
    """The pictures, where their patches are, the state, and noise; a chunk of places."""

    def __init__(self, config: PiZeroPixelsConfig) -> None:
        self._periods = config.periods
        self._pictures = {IMAGE_INPUT: IMAGE, **({GOAL_INPUT: GOAL_IMAGE} if config.goal else {})}
        observed = (*self._pictures, PATCHES_INPUT, STATE_INPUT)
        super().__init__(observed, self._seen, config.horizon, config.execute, noise=True, ensemble=config.ensemble)

    def _seen(self, observation: Mapping[str, Any], pusher: Floats) -> dict[str, Floats]:
        pictures = {name: read_picture(observation, key, *IMAGE_SHAPE[:2]) for name, key in self._pictures.items()}
        return {
            **{name: pixels(picture[None]) for name, picture in pictures.items()},
            PATCHES_INPUT: patch_rows(pusher[None], GRID, self._periods),
            STATE_INPUT: state_row(pusher[None], self._periods),
        }
