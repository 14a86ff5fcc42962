"""The robot's side of the pi-zero style policy: its sizes for the preprocessor of all keypoint policies."""

from __future__ import annotations

from vla_models.pi_zero.config import PiZeroConfig
from vla_models.pusht.observation import token_inputs
from vla_models.pusht.preprocess import KeypointPreprocessor

__all__ = ["PiZeroPreprocessor"]


class PiZeroPreprocessor(KeypointPreprocessor):
    """A token for each corner, the state, and noise; a chunk of places."""

    def __init__(self, config: PiZeroConfig) -> None:
        super().__init__(
            token_inputs(config.periods), config.horizon, config.execute, noise=True, ensemble=config.ensemble
        )
