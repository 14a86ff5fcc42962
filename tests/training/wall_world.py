"""A throw-away world whose arithmetic is done by hand: something rolls to a wall, ten places a second, until it brakes.

The way is 10, 11 or 12 places long, by the seed. At the wall it breaks; stopped before, it succeeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.keys import TASK, Sample
from vla_datasets.worlds.registry import WorldSpec
from vla_datasets.worlds.world import Schema
from vla_training.evaluate.runner import Runner

ROLL, BRAKE = 0, 1
SCHEMA = Schema(features={}, fps=10, idle=ROLL)
NO_IDLE = Schema(features={}, fps=10)


class Wall:
    """Stops at the first BRAKE."""

    max_steps = 40

    def __init__(self, level: str) -> None:
        self.level, self.left = level, 0.0

    def reset(self, *, seed: int) -> tuple[Sample, dict[str, Any]]:
        self.left = 10 + seed % 3
        return self._seen(), {}

    def step(self, action: Any, elapsed: float = 0.0) -> tuple[Sample, float, bool, bool, dict[str, Any]]:
        self.left -= 10 * elapsed + (action == ROLL)
        if self.left <= 0:
            return self._seen(), 0.0, True, False, {"success": False, "score": 0.0, "failure": "broken"}
        stopped = bool(action == BRAKE)
        return self._seen(), 0.0, stopped, False, {"success": stopped, "score": self.left if stopped else 0.0}

    def render(self) -> npt.NDArray[np.uint8]:
        return np.zeros((8, 8, 3), np.uint8)

    def close(self) -> None:
        pass

    def _seen(self) -> Sample:
        return {"left": np.array(self.left), TASK: "stop"}


class Braking(Runner):
    """Brakes three places before the wall, in so many cycles."""

    def __init__(self, cycles: int | None) -> None:
        super().__init__()
        self._cycles = cycles

    def begin(self, slot: int, task: str, seed: int) -> None:
        pass

    def ask(self, observations: Mapping[int, Sample]) -> dict[int, npt.NDArray[Any]]:
        return {slot: np.array([BRAKE if seen["left"] <= 3 else ROLL]) for slot, seen in observations.items()}

    def cycles(self) -> int | None:
        return self._cycles


WORLD = WorldSpec(
    "wall", "roll to a wall", ("flat",), world="wall_world:Wall", expert="wall_world:Wall", schema="wall_world:SCHEMA"
)
