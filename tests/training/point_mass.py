"""A throw-away world and policy of another shape than BabyAI: state in, chunks of continuous actions out.

A point is driven to a goal by velocities, ten times a second; while a policy computes it drifts on. Its policy
normalizes with the statistics of the data, makes four actions at a time and does two of them. Not in the packages: it
proves that they need no change for it. Its network is in `point_network.py`, which imports torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from vla_datasets.keys import ACTION, DONE, REWARD, STATE, TASK, Sample
from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.worlds.registry import WorldSpec
from vla_datasets.worlds.world import Expert, Schema
from vla_models.registry import PolicySpec

CHUNK = 4
SCHEMA = Schema(
    features={
        STATE: Feature("float32", (4,), ("x", "y", "goal_x", "goal_y")),
        ACTION: Feature("float32", (2,), ("velocity_x", "velocity_y")),
        REWARD: Feature("float32", (1,)),
        DONE: Feature("bool", (1,)),
        **BOOKKEEPING,
    },
    fps=10,
)


class PointMass(gymnasium.Env):  # type: ignore[misc]
    """Reach the goal, in a square of two metres, to 10 cm."""

    max_steps = 40

    def __init__(self, level: str) -> None:
        self.level = level
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)
        self.observation_space = spaces.Dict({STATE: spaces.Box(-9, 9, (4,), np.float32), TASK: spaces.Text(40)})
        self.place = self.goal = self.velocity = np.zeros(2)
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Sample, dict[str, Any]]:
        self.place, self.goal = np.random.default_rng(seed).uniform(-1, 1, (2, 2))
        self.velocity, self.steps = np.zeros(2), 0
        return self._seen(), {}

    def step(self, action: Any, elapsed: float = 0.0) -> tuple[Sample, float, bool, bool, dict[str, Any]]:
        self.place = self.place + elapsed * self.velocity
        self.velocity = np.clip(np.asarray(action, np.float64), -1, 1)
        self.place = self.place + 0.1 * self.velocity
        self.steps += 1
        distance = float(np.linalg.norm(self.goal - self.place))
        success = distance < 0.1
        late = not success and self.steps >= self.max_steps
        info: dict[str, Any] = {"success": success, "score": max(0.0, 1.0 - distance)}
        return self._seen(), info["score"], success, late, info | ({"failure": "out of steps"} if late else {})

    def render(self) -> npt.NDArray[np.uint8]:
        return np.zeros((8, 8, 3), np.uint8)

    def _seen(self) -> Sample:
        return {STATE: np.concatenate([self.place, self.goal]).astype(np.float32), TASK: "go to the point"}


def expert(world: PointMass) -> Expert:
    """Towards the goal, slower where it is near."""
    return lambda: np.clip(4 * (world.goal - world.place), -1, 1).astype(np.float32)


@dataclass(frozen=True)
class PointConfig:
    """Width of the network; what normalization uses comes from the data."""

    hidden: int = 32
    execute: int = 2  # actions of a chunk that are done
    mean: tuple[float, ...] = (0.0,) * 4
    std: tuple[float, ...] = (1.0,) * 4

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(getattr(self, name)))


def fitted(config: PointConfig, statistics: Mapping[str, Any]) -> PointConfig:
    """Normalization by the data's statistics."""
    return dataclasses.replace(config, mean=tuple(statistics[STATE]["mean"]), std=tuple(statistics[STATE]["std"]))


class PointPreprocessor:
    """Normalizes the state, and does the first actions of a chunk."""

    input_names = ("state",)
    output_names = ("chunk",)

    def __init__(self, config: PointConfig) -> None:
        self._config = config

    def reset(self, task: str, seed: int = 0) -> None:
        pass

    def inputs(self, observation: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float32]]:
        mean, std = np.float32(self._config.mean), np.float32(self._config.std)
        return {"state": ((observation[STATE] - mean) / std)[np.newaxis]}

    def actions(self, outputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        return np.clip(outputs["chunk"][0, : self._config.execute], -1, 1)


WORLD = WorldSpec(
    "point",
    "a point to steer",
    ("square",),
    world="point_mass:PointMass",
    expert="point_mass:expert",
    schema="point_mass:SCHEMA",
)
POLICY = PolicySpec("point_mlp", PointConfig, "point_network:PointMlp", PointPreprocessor, fitted)
