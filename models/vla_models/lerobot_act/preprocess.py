"""The robot's side of LeRobot's ACT: its sizes for the preprocessor of all policies of LeRobot."""

from __future__ import annotations

from vla_models.lerobot.preprocess import LerobotPreprocessor
from vla_models.lerobot_act.config import LerobotActConfig

__all__ = ["LerobotActPreprocessor"]


class LerobotActPreprocessor(LerobotPreprocessor):
    """One frame; a chunk from now on."""

    def __init__(self, config: LerobotActConfig) -> None:
        super().__init__(config.observed, config.does, config.horizon, config.execute, ensemble=config.ensemble)
