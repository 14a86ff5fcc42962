"""Push-T as a world: gym-pusht's physics, keypoints, one goal or one an episode."""

from __future__ import annotations

import os
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from vla_datasets.errors import CollectError
from vla_datasets.keys import STATE, TASK, Sample
from vla_datasets.worlds.pusht.block import corners
from vla_datasets.worlds.pusht.schema import GOAL, KEYPOINTS, SENTENCE, SIDE, SUCCESS
from vla_isa.errors import did_you_mean

__all__ = ["LEVELS", "PushT", "drawn_goal", "make"]

Array = npt.NDArray[np.float64]

LEVELS = ("fixed", "varied")
_SUBSTEP = 0.01  # seconds
_GOALS = 2**32  # beside a seed: that of its goal


class PushT(gymnasium.Env):  # type: ignore[misc]  # gymnasium is untyped here
    """Push the block onto its goal within 300 steps: more than 95 % of the goal covered.

    Levels: `fixed`, gym-pusht's goal; `varied`, a goal that the seed draws. `info` has `coverage`, that of now, and
    `max_coverage`, the episode's; `score` is the episode's largest reward, min(coverage / 0.95, 1).
    """

    max_steps = 300

    def __init__(self, level: str) -> None:
        if level not in LEVELS:
            raise CollectError(f"Unknown Push-T level '{level}'.{did_you_mean(level, LEVELS, 'Known: fixed, varied')}")
        self.level, self.varied = level, level == "varied"
        self.env = make()
        self.goal = np.zeros(3)
        self._steps, self._best = 0, 0.0
        self._last: Any = None
        self.action_space = spaces.Box(0, SIDE, (2,), np.float32)
        two, sixteen = (spaces.Box(-SIDE, 2 * SIDE, (n,), np.float32) for n in (2, 16))
        words = spaces.Text(60, charset=frozenset(SENTENCE))
        self.observation_space = spaces.Dict({STATE: two, KEYPOINTS: sixteen, GOAL: sixteen, TASK: words})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Sample, dict[str, Any]]:
        """Pusher and block at places of the seed's choice."""
        self.env.reset(seed=seed)
        self.goal = self.env.goal_pose
        if self.varied:
            self.goal = drawn_goal(_GOALS, seed)
            self.env.goal_pose = self.goal
        self._steps, self._best, self._last = 0, 0.0, None
        self.begin(seed)
        return self.seen(), {}

    def begin(self, seed: int | None) -> None:
        """What a world of pictures draws once an episode; here nothing."""

    def step(self, action: Any, elapsed: float = 0.0) -> tuple[Sample, float, bool, bool, dict[str, Any]]:
        """A tenth of a second towards `action` (2,), after `elapsed` seconds towards the last one."""
        if elapsed > 0 and self._last is not None:
            self._move(self._last, round(elapsed / _SUBSTEP))
        self._last = np.clip(np.asarray(action, np.float64), 0, SIDE)
        _, reward, success, _, info = self.env.step(self._last)
        self._steps += 1
        self._best = max(self._best, float(info["coverage"]))
        found: dict[str, Any] = {
            "success": bool(success),
            "score": min(self._best / SUCCESS, 1.0),
            "coverage": float(info["coverage"]),
            "max_coverage": self._best,
        }
        late = not success and self._steps >= self.max_steps
        if late:
            found["failure"] = "out of steps"
        return self.seen(), float(reward), bool(success), late, found

    def render(self) -> npt.NDArray[np.uint8]:
        """Block, pusher, goal and the last action, 680 px."""
        return np.asarray(self.env.render(), np.uint8)

    def close(self) -> None:
        """Free what pygame holds."""
        self.env.close()

    @property
    def pusher(self) -> tuple[Array, Array]:
        """The pusher's centre and velocity."""
        return np.array(self.env.agent.position), np.array(self.env.agent.velocity)

    @property
    def block_pose(self) -> Array:
        """Where the block's origin is, and its angle."""
        return np.array([*self.env.block.position, self.env.block.angle])

    @property
    def goal_corners(self) -> Array:
        """The goal's keypoints."""
        return corners(self.goal)

    def _move(self, action: Array, substeps: int) -> None:
        """As gym-pusht's own step, but for any time."""
        env = self.env
        for _ in range(substeps):
            pull = env.k_p * (action - np.array(env.agent.position)) - env.k_v * np.array(env.agent.velocity)
            env.agent.velocity += tuple(pull * env.dt)
            env.space.step(env.dt)

    def seen(self) -> Sample:
        """The observation of now."""
        return {
            STATE: self.pusher[0].astype(np.float32),
            KEYPOINTS: corners(self.block_pose).ravel().astype(np.float32),
            GOAL: self.goal_corners.ravel().astype(np.float32),
            TASK: SENTENCE,
        }


def drawn_goal(kind: int, seed: int | None) -> Array:
    """The pose (3,) of a goal that a seed draws, from 2**32 on; seeds of worlds are below.

    Args:
        kind: which of a seed's goals.
        seed: of the episode; any, where there is none.
    """
    numbers = np.random.default_rng([kind, *([] if seed is None else [seed])])
    return np.array([*numbers.uniform(156, 356, 2), numbers.uniform(-np.pi, np.pi)])


def make() -> Any:
    """gym-pusht's environment, without a window.

    Raises:
        CollectError: a package is missing.
    """
    os.environ.setdefault("SDL_VIDEODRIVER", "offscreen")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        from gym_pusht.envs.pusht import PushTEnv
    except ModuleNotFoundError as error:
        raise CollectError(
            f"Push-T needs the package '{error.name}', which is not installed; pip install 'vla-toolchain[envs,pusht]' "
            "and then, as it asks for packages that need a display, pip install --no-deps gym-pusht==0.1.8"
        ) from error
    return PushTEnv(obs_type="state", render_mode="rgb_array")
