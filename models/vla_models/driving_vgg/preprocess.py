"""The robot's side of the VGG driving policy: its sizes for the preprocessor of all driving policies."""

from __future__ import annotations

from vla_models.driving.preprocess import DrivingPreprocessor
from vla_models.driving_vgg.config import COLUMNS, DrivingVggConfig

__all__ = ["DrivingVggPreprocessor"]


class DrivingVggPreprocessor(DrivingPreprocessor):
    """Stacked images, command and measures; steer, throttle and brake."""

    def __init__(self, config: DrivingVggConfig) -> None:
        super().__init__(config.image_size, config.frames, COLUMNS, sees_all=config.measure_features > 0)
