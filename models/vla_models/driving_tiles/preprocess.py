"""The robot's side of the tile-gated driving policy: its sizes for the preprocessor of all driving policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from vla_models.driving.names import BRANCHES, COMMAND
from vla_models.driving.preprocess import DrivingPreprocessor
from vla_models.driving_tiles.config import COLUMNS, DrivingTilesConfig

__all__ = ["DrivingTilesPreprocessor"]


class DrivingTilesPreprocessor(DrivingPreprocessor):
    """One image, command and measures; steer and throttle minus brake."""

    def __init__(self, config: DrivingTilesConfig) -> None:
        super().__init__(config.image_size, 1, COLUMNS, past=config.past)
        self._gated = config.gated

    def entry(self, inputs: Mapping[str, npt.NDArray[Any]]) -> str | None:
        """The entry point of these inputs: with gates the circuit of their command."""
        return BRANCHES[int(inputs[COMMAND].argmax())] if self._gated else None
