"""The robot's side of ACT: its sizes for the preprocessor of all keypoint policies."""

from __future__ import annotations

from vla_models.act.config import ActConfig
from vla_models.pusht.observation import token_inputs
from vla_models.pusht.preprocess import KeypointPreprocessor

__all__ = ["ActPreprocessor"]


class ActPreprocessor(KeypointPreprocessor):
    """A token for each corner, and the state; a chunk of places."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__(
            token_inputs(config.periods), config.horizon, config.execute, noise=False, ensemble=config.ensemble
        )
