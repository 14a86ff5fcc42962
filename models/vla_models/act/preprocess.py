"""The robot's side of ACT: its sizes for the preprocessor of all keypoint policies."""

from __future__ import annotations

from vla_models.act.config import ActConfig
from vla_models.pi_zero.names import CORNERS_INPUT, STATE_INPUT
from vla_models.pusht.observation import corner_tokens, state_row
from vla_models.pusht.preprocess import KeypointPreprocessor

__all__ = ["ActPreprocessor"]


class ActPreprocessor(KeypointPreprocessor):
    """A token for each corner, and the state; a chunk of places."""

    def __init__(self, config: ActConfig) -> None:
        observed = {
            CORNERS_INPUT: lambda places: corner_tokens(places, config.periods),
            STATE_INPUT: lambda places: state_row(places, config.periods),
        }
        super().__init__(observed, config.horizon, config.execute, noise=False, ensemble=config.ensemble)
