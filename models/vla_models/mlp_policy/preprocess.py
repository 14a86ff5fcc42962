"""The robot's side of the multilayer perceptron: its sizes for the preprocessor of all keypoint policies."""

from __future__ import annotations

from vla_models.mlp_policy.config import MlpPolicyConfig
from vla_models.pusht.names import OBSERVATION
from vla_models.pusht.observation import flat_row
from vla_models.pusht.preprocess import KeypointPreprocessor

__all__ = ["MlpPolicyPreprocessor"]


class MlpPolicyPreprocessor(KeypointPreprocessor):
    """All that is seen in one row, and noise for a sampler; a chunk of places."""

    def __init__(self, config: MlpPolicyConfig) -> None:
        observed = {OBSERVATION: lambda places: flat_row(places, config.periods)}
        noise = config.method != "direct"
        super().__init__(observed, config.horizon, config.execute, noise, config.ensemble)
