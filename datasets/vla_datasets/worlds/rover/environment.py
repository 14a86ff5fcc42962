"""The rover world: somebody drives, and at every moment it is to be said how risky that is, why, and what to do.

A level is "watched", where the driver does not hear what is said, or "heeded", where the rover does it; "+clear" has
good weather only. Success is never to have said an action that touches something within a second where another would
not, and on "heeded" to have touched nothing.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from vla_datasets.errors import CollectError
from vla_datasets.keys import TASK, Sample
from vla_datasets.worlds.driving.weather import WEATHERS
from vla_datasets.worlds.rover.ground import Ground
from vla_datasets.worlds.rover.motion import Motion
from vla_datasets.worlds.rover.names import IMAGE, SAID, SIZE, TELEMETRY, TELEMETRY_NAMES, WEIGHT
from vla_datasets.worlds.rover.outlook import Outlook, commands, look_ahead
from vla_datasets.worlds.rover.scene import Scene
from vla_datasets.worlds.rover.schema import FRAMES_PER_SECOND

__all__ = ["LEVELS", "Rover"]

LEVELS = ("watched", "heeded", "watched+clear", "heeded+clear")
_TASK_TEXT = "say what is risky and what to do"
_MAX_STEPS = 24
_STEP = 1 / FRAMES_PER_SECOND
_SLOWEST, _FASTEST, _BEND = 0.3, 2.0, 0.3  # m/s, m/s, rad/s of the driver's wishes
_NEW_WISH = 0.1  # of a step
_FOR_CHANCE = 3  # independent streams: the ground, what goes on, what is drawn


class Rover(gymnasium.Env):  # type: ignore[misc]  # gymnasium is untyped here
    """One level; everything that is random comes from the episode's seed.

    Attributes:
        outlook: what is right to say now.

    Raises:
        CollectError: there is no such level.
    """

    max_steps = _MAX_STEPS

    def __init__(self, level: str) -> None:
        if level not in LEVELS:
            raise CollectError(f"Unknown rover level '{level}'; there are {', '.join(LEVELS)}.")
        self.level = level
        self._heeded, self._clear = level.startswith("heeded"), level.endswith("+clear")
        self._scene = Scene()
        self.action_space = spaces.MultiDiscrete([len(words) for words in SAID.values()])
        self.observation_space = spaces.Dict(
            {
                IMAGE: spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8),
                TELEMETRY: spaces.Box(-np.inf, np.inf, (len(TELEMETRY_NAMES),), np.float32),
                WEIGHT: spaces.Box(0, 1, (1,), np.float32),
                TASK: spaces.Text(40, charset="abcdefghijklmnopqrstuvwxyz "),
            }
        )
        self._begin(0)

    def _begin(self, seed: int | None) -> None:
        first, self._chance, self._drawn = (
            np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(_FOR_CHANCE)
        )
        self.ground = Ground.drawn(first)
        self.motion = Motion()
        names = tuple(WEATHERS)
        self._weather = WEATHERS["clear" if self._clear else names[int(first.integers(len(names)))]]
        self._wish = self._new_wish()
        self.motion.wheel_v, self.motion.wheel_w = self._wish
        self.motion.feel(self.ground)
        self._told = 0
        self._steps = self._good = 0
        self.outlook: Outlook = look_ahead(self.ground, self.motion)

    def _new_wish(self) -> tuple[float, float]:
        return float(self._chance.uniform(_SLOWEST, _FASTEST)), float(self._chance.normal(0, _BEND))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Sample, dict[str, Any]]:
        """Another ground, weather and driver; the rover is on its way."""
        self._begin(seed)
        self._scene.begin(self.ground, self._weather, self._drawn)
        return self._seen(), {}

    def step(self, action: Any, elapsed: float = 0.0) -> tuple[Sample, float, bool, bool, dict[str, Any]]:
        """A quarter of a second; `elapsed` seconds under what was said before come first.

        Args:
            action: indices of risk, reason and action; the last one alone has an effect, and on "heeded" only.
            elapsed: seconds that it took to say it.
        """
        if elapsed > 0:
            self._move(elapsed)
        told = int(np.asarray(action).reshape(-1)[2])
        missed = self.outlook.missed(told)
        self._told = told
        if self._chance.random() < _NEW_WISH:
            self._wish = self._new_wish()
        self._move(_STEP)
        self._steps += 1
        touched = self._touching()
        good = not missed and not (touched and self._heeded)
        self._good += good
        success = self._good == self._steps
        score = self._good / (self.max_steps if self._heeded and touched else self._steps)
        info: dict[str, Any] = {"success": success, "score": float(score)}
        late = not touched and self._steps >= self.max_steps
        if (touched or late) and not success:
            info["failure"] = "something was touched" if touched and self._heeded else "said to touch something"
        return self._seen(), float(good), touched, late, info

    def render(self) -> npt.NDArray[np.uint8]:
        """The surroundings from above."""
        return self._scene.from_above(self.ground, self.motion)

    def close(self) -> None:
        """Free the renderer's buffers."""
        self._scene.close()

    def _move(self, seconds: float) -> None:
        v, w = self._wish
        if self._heeded:
            v, w = commands(v, w)[self._told]
        self.motion.move(float(v), float(w), seconds, self.ground)
        self.ground.move(seconds, self._chance)
        self.outlook = look_ahead(self.ground, self.motion)

    def _touching(self) -> bool:
        """Whether the rover, whatever it does, touches something now."""
        return bool((self.outlook.touches <= 0.1).all())

    def _seen(self) -> Sample:
        return {
            IMAGE: self._scene.from_rover(self.ground, self.motion, self._weather, self._drawn),
            TELEMETRY: self.motion.telemetry(self._drawn),
            WEIGHT: np.array([self.outlook.weight], np.float32),
            TASK: _TASK_TEXT,
        }
