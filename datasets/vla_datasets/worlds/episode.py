"""One episode in a world that is held to its contract: it answers in the right form, and it ends.

A world that fails by an exception of its own fails so here too, with a note of seed and step, to see it again.

Not here: who acts (`demonstrate.py`, `vla_training.evaluate.rollout`), what a frame holds (a world's `schema.py`).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_datasets.errors import WorldError
from vla_datasets.keys import TASK, Sample
from vla_datasets.lerobot.format import Feature
from vla_datasets.worlds.world import World

__all__ = ["Outcome", "WorldEpisode"]


@dataclass(frozen=True)
class Outcome:
    """What a world said of one step."""

    observation: Sample
    reward: float
    ended: bool
    success: bool
    score: float
    failure: str  # empty where it did not fail
    usable: int  # steps of a failed episode that are a demonstration all the same


class WorldEpisode:
    """The episode of a seed in a world.

    Attributes:
        seed: of the episode.
        task: in words.
        observation: the newest.
        steps: how many were done.
        split: the only split of demonstrations that it may be in; "" for any.

    Raises:
        WorldError: the first observation is none.
    """

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.seed, self.steps = world, seed, 0
        with self._noted():
            answer = world.reset(seed=seed)
        if not (isinstance(answer, tuple) and len(answer) == 2):
            raise self._broken(f"reset returns {type(answer).__name__}, not an observation and a dictionary")
        self.observation = self._observation(answer[0])
        self.task = str(self.observation[TASK])
        self.split = str(answer[1].get("split", ""))

    def step(self, action: Any, elapsed: float = 0.0) -> Outcome:
        """Do one action; a world with a clock first moves on by `elapsed` seconds.

        Raises:
            WorldError: the world's answer is not what its contract says, or it has not ended after its own `max_steps`.
        """
        with self._noted():
            answer = self.world.step(action, elapsed)
        self.steps += 1
        if not (isinstance(answer, tuple) and len(answer) == 5):
            raise self._broken("step does not return observation, reward, terminated, truncated and info")
        seen, reward, terminated, truncated, info = answer
        self.observation = self._observation(seen)
        ended = bool(terminated or truncated)
        if not isinstance(info, Mapping) or not {"success", "score"} <= info.keys():
            raise self._broken("the info of a step has no 'success' and 'score'")
        numbers = {"reward": float(reward), "score": float(info["score"])}
        for name, value in numbers.items():
            if not math.isfinite(value):
                raise self._broken(f"the {name} is {value}")
        if not ended and self.steps >= self.world.max_steps:
            raise self._broken(f"the episode has not ended after {self.world.max_steps} steps, its 'max_steps'")
        return Outcome(
            self.observation,
            **numbers,
            ended=ended,
            success=bool(info["success"]),
            failure=str(info.get("failure", "")),
            usable=min(int(info.get("usable", 0)), self.steps),
        )

    def frame_values(self, frame: Mapping[str, Any], features: Mapping[str, Feature]) -> dict[str, Any]:
        """The values of one frame by feature, each an array of the feature's shape; images are uint8.

        Raises:
            WorldError: one is missing, or of another shape.
        """
        found: dict[str, Any] = {}
        for name, feature in features.items():
            if name not in frame:
                raise self._broken(
                    f"a frame has no '{name}', which the world's schema names; it has {', '.join(frame)}"
                )
            value = np.asarray(frame[name])
            if feature.shape == (1,) and value.size == 1:
                value = value.reshape(1)
            if value.shape != feature.shape or (feature.dtype == "image" and value.dtype != np.uint8):
                wanted = f"{'uint8' if feature.dtype == 'image' else feature.dtype} {list(feature.shape)}"
                raise self._broken(f"'{name}' is {value.dtype} {list(value.shape)}; the world's schema says {wanted}")
            found[name] = value
        return found

    def _observation(self, seen: Any) -> Sample:
        if not isinstance(seen, Mapping) or TASK not in seen:
            raise self._broken(f"an observation is {type(seen).__name__}, not a dictionary with '{TASK}'")
        return seen

    def _broken(self, what: str) -> WorldError:
        return WorldError(f"{what} ({self._where()}).")

    def _where(self) -> str:
        return f"level '{self.world.level}', seed {self.seed}, step {self.steps}"

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            error.add_note(f"In the world, {self._where()}.")
            raise
