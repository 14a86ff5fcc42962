"""The robot's side of the policy of two heads: the one that acts is the graph that runs."""

from __future__ import annotations

from vla_models.flow_autoregressive.config import FlowAutoregressiveConfig
from vla_models.flow_autoregressive.names import FLOW
from vla_models.pusht.observation import token_inputs
from vla_models.pusht.preprocess import KeypointPreprocessor

__all__ = ["FlowAutoregressivePreprocessor"]


class FlowAutoregressivePreprocessor(KeypointPreprocessor):
    """A token for each corner, the state, and for the flow noise; a chunk of places."""

    def __init__(self, config: FlowAutoregressiveConfig) -> None:
        flows = config.head == FLOW
        super().__init__(
            token_inputs(config.periods), config.horizon, config.execute, noise=flows, ensemble=config.ensemble
        )
        self.calls = (config.head,)
