"""The robot's side of LeRobot's Diffusion Policy: its sizes for the preprocessor of all policies of LeRobot."""

from __future__ import annotations

from vla_models.lerobot.preprocess import LerobotPreprocessor
from vla_models.lerobot_diffusion.config import LerobotDiffusionConfig
from vla_models.lerobot_diffusion.names import noise_shapes

__all__ = ["LerobotDiffusionPreprocessor"]


class LerobotDiffusionPreprocessor(LerobotPreprocessor):
    """The last steps, and noise; the part of a chunk that is done."""

    def __init__(self, config: LerobotDiffusionConfig) -> None:
        super().__init__(
            config.observed,
            config.does,
            config.horizon,
            config.execute,
            history=config.history,
            noise=noise_shapes(config),
        )
