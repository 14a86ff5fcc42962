"""With temporal ensembling the network is asked at every step of an episode."""

from __future__ import annotations

from typing import Any

import numpy as np

from vla_datasets.keys import STATE
from vla_datasets.worlds.pusht.schema import GOAL, KEYPOINTS
from vla_models.chunks.names import ACTIONS
from vla_models.policy import Preprocessor
from vla_models.registry import find_policy
from vla_training.evaluate.runners import NetworkRunner

SEEN = {key: np.full(count, 200.0, np.float32) for key, count in ((STATE, 2), (KEYPOINTS, 16), (GOAL, 16))}


def made(ensemble: float) -> Preprocessor:
    spec = find_policy("pi_zero")
    return spec.preprocessor(spec.configured({"ensemble": ensemble, "execute": 4}))


def test_a_runner_asks_for_each_step() -> None:
    """The network is called at every step, and after a correction."""
    calls = []

    def compute(inputs: Any) -> dict[str, np.ndarray]:
        calls.append(inputs)
        return {ACTIONS: np.full((1, 16, 2), 0.25, np.float32)}

    for ensemble, asked in ((0.01, 8), (0.0, 2)):
        runner = NetworkRunner(compute, lambda e=ensemble: made(e))  # type: ignore[misc]
        runner.reset(0, "push", 0)
        for _ in range(8):
            action = runner.act({0: SEEN})[0]
            assert np.allclose(action, 225.0)
        runner.correct(0, action)
        runner.act({0: SEEN})
        assert len(calls) == asked + 1
        calls.clear()
