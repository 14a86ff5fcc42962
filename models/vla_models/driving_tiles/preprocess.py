"""The robot's side of the tile-gated driving policy: its sizes for the preprocessor of all driving policies."""

from __future__ import annotations

from vla_models.driving.preprocess import DrivingPreprocessor
from vla_models.driving_tiles.config import COLUMNS, DrivingTilesConfig

__all__ = ["DrivingTilesPreprocessor"]


class DrivingTilesPreprocessor(DrivingPreprocessor):
    """One image, command and measures; steer and throttle minus brake."""

    def __init__(self, config: DrivingTilesConfig) -> None:
        super().__init__(config.image_size, 1, COLUMNS, past=config.past)
