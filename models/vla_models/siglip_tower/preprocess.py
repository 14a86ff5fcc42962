"""The robot's side of a tower: from a picture to its input, and from its tokens to one row of features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_models.siglip.pixels import seen_picture
from vla_models.siglip_tower.config import SiglipTowerConfig
from vla_models.siglip_tower.names import IMAGE_INPUT, TOKENS

__all__ = ["SiglipTowerPreprocessor"]


class SiglipTowerPreprocessor:
    """It remembers nothing."""

    input_names = (IMAGE_INPUT,)
    output_names = (TOKENS,)

    def __init__(self, config: SiglipTowerConfig) -> None:
        self._config = config

    def reset(self, task: str, seed: int = 0) -> None:
        """Nothing is kept, and nothing random."""

    def inputs(self, observation: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float32]]:
        """The picture, (1, 3, S, S).

        Raises:
            ObservationError: it is missing, of another size, or not of bytes.
        """
        return {IMAGE_INPUT: seen_picture(self._config, observation)}

    def actions(self, outputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        """No actions: the mean of the tokens, (1, width)."""
        found: npt.NDArray[np.float32] = np.asarray(outputs[TOKENS], np.float32).mean(axis=1)
        return found
