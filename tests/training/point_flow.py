"""A throw-away policy of two graphs for the point's world: a prefix of the state, and Euler steps of a flow.

Its numpy side; the network is in `point_flow_network.py`, which imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from point_mass import CHUNK

from vla_datasets.keys import STATE
from vla_models.registry import PolicySpec

STEPS = 5


@dataclass(frozen=True)
class PointFlowConfig:
    """Width of the network."""

    hidden: int = 16


class PointFlowPreprocessor:
    """Noise from the episode's seed becomes a chunk in `STEPS` steps."""

    input_names = ("state", "actions", "time")
    output_names = ("next_actions",)
    calls = ("prefix", *["step"] * STEPS)

    def __init__(self, config: PointFlowConfig) -> None:
        self._rng = np.random.default_rng(0)

    def reset(self, task: str, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    def inputs(self, observation: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float32]]:
        return {
            "state": np.float32(observation[STATE])[np.newaxis],
            "actions": self._rng.standard_normal((1, CHUNK * 2)).astype(np.float32),
            "time": np.zeros((1, 1), np.float32),
        }

    def actions(self, outputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        return np.clip(0.2 * outputs["next_actions"].reshape(CHUNK, 2)[:2], -1, 1)


POLICY = PolicySpec("point_flow", PointFlowConfig, "point_flow_network:PointFlow", PointFlowPreprocessor)
