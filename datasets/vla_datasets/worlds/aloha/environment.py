"""ALOHA as a world: gym-aloha's cube transfer, told joint angles 25 times a second."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gym_aloha.utils import sample_box_pose
from gymnasium import spaces

from vla_datasets.keys import STATE, TASK, Sample, image
from vla_datasets.worlds.aloha.cameras import Cameras
from vla_datasets.worlds.aloha.physics import DT, Servos, joint_limits
from vla_datasets.worlds.aloha.schema import CUBE, FPS, IDLE, IMAGE_SHAPE, SENTENCE, cameras_of

__all__ = ["DONE", "Aloha"]

DONE = 4  # gym-aloha's reward: a left finger touches the cube, which does not touch the table
_FAILURES = (
    "the right fingers did not touch the cube",
    "the cube was not lifted",
    "the cube was not handed over",
    "the cube was touched by the left fingers on the table only",
)
_VIEW = (480, 640, 3)  # of reports
_FINER = 4  # costs little: vertices take longer than pixels


class Aloha(gymnasium.Env):  # type: ignore[misc]  # gymnasium is untyped here
    """Hand the cube from the right arm to the left one within 10 s.

    Levels: `transfer` with three cameras, `transfer+top` with the one above, `transfer+state` with the cube's pose in
    place of pictures. `score` is the episode's largest reward of gym-aloha, 0 to 4, divided by 4.
    """

    max_steps = 250

    def __init__(self, level: str) -> None:
        names = cameras_of(level)
        self.level = level
        self.servos = Servos()
        self.reward = 0  # of now
        self._names = names
        self._cameras: Cameras | None = None  # made when the first picture is wanted
        self._reporter: Cameras | None = None
        self._steps, self._best = 0, 0
        low, high = joint_limits(self.servos)
        self._last = np.array(IDLE)
        self.action_space = spaces.Box(low.astype(np.float32), high.astype(np.float32))
        seen: dict[str, Any] = {image(name): spaces.Box(0, 255, IMAGE_SHAPE, np.uint8) for name in names}
        if not names:
            seen[CUBE] = spaces.Box(-np.inf, np.inf, (7,), np.float32)
        seen[STATE] = spaces.Box(-np.inf, np.inf, (14,), np.float32)  # a servo goes beyond its range under load
        words = spaces.Text(len(SENTENCE), charset=frozenset(SENTENCE))
        self.observation_space = spaces.Dict({**seen, TASK: words})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Sample, dict[str, Any]]:
        """Arms in their first pose, the cube at a place of the seed's choice (gym-aloha's own draw)."""
        self.servos.reset(sample_box_pose(seed))
        self._steps, self._best, self.reward, self._last = 0, 0, 0, np.array(IDLE)
        return self._seen(), {}

    def step(self, action: Any, elapsed: float = 0.0) -> tuple[Sample, float, bool, bool, dict[str, Any]]:
        """A twenty-fifth of a second towards `action` (14,), after `elapsed` seconds towards the last one."""
        self._move(round(elapsed / DT))
        self._last = np.clip(np.asarray(action, np.float64), self.action_space.low, self.action_space.high)
        self._move(round(1 / FPS / DT))
        self._steps += 1
        success = self._best == DONE
        late = not success and self._steps >= self.max_steps
        info: dict[str, Any] = {"success": success, "score": self._best / DONE}
        if late:
            info["failure"] = _FAILURES[self._best]
        return self._seen(), float(self.reward), success, late, info

    def render(self) -> npt.NDArray[np.uint8]:
        """Everything from above."""
        self._reporter = self._reporter or Cameras(self.servos.physics, ("top",), _VIEW, finer=1)
        return self._reporter.see()["top"]

    def close(self) -> None:
        """Free what the simulation holds."""
        self.servos.close()

    def _move(self, steps: int) -> None:
        """Go on towards the last action; the cube may fall again after it was handed over, which is the end."""
        for _ in range(steps):
            if self._best < DONE:
                self.reward = self.servos.step(self._last)
                self._best = max(self._best, self.reward)

    def _seen(self) -> Sample:
        pictures: dict[str, Any] = {}
        if self._names:
            self._cameras = self._cameras or Cameras(self.servos.physics, self._names, IMAGE_SHAPE, _FINER)
            pictures = {image(name): picture for name, picture in self._cameras.see().items()}
        else:
            pictures[CUBE] = self.servos.cube.astype(np.float32)
        return {**pictures, STATE: self.servos.joints.astype(np.float32), TASK: SENTENCE}
