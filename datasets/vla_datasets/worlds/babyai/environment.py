"""The BabyAI levels as a world: pixels from the agent's view, no window, no text on stdout."""

from __future__ import annotations

import contextlib
import io
import os
import re
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from vla_datasets.errors import CollectError
from vla_datasets.keys import TASK, Sample
from vla_datasets.worlds.babyai.schema import ACTION_NAMES, IMAGE, IMAGE_SHAPE, TILE_SIZE
from vla_isa.errors import did_you_mean

__all__ = ["BabyAI"]


class BabyAI(gymnasium.Env):  # type: ignore[misc]  # gymnasium is untyped here
    """A BabyAI level, or several between pluses of which the seed chooses one for each episode.

    `max_steps` is the levels' own limit and is never changed; of several, the largest.
    """

    def __init__(self, level: str) -> None:
        self.level = level
        self._envs = [_make(name) for name in level.split("+")]
        self._env = self._envs[0]  # of the episode in progress
        self.last_action: int | None = None  # what the expert has to know
        self.action_space = spaces.Discrete(len(ACTION_NAMES))
        pixels = spaces.Box(0, 255, IMAGE_SHAPE, np.uint8)
        words = spaces.Text(200, charset="abcdefghijklmnopqrstuvwxyz, ")
        self.observation_space = spaces.Dict({IMAGE: pixels, TASK: words})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Sample, dict[str, Any]]:
        """Start the episode of `seed`: the first image (56, 56, 3) and the mission as `task`."""
        self._env = self._envs[int(np.random.default_rng(seed).integers(len(self._envs)))]
        # The level generator prints "Sampling rejected" for every layout it throws away.
        with contextlib.redirect_stdout(io.StringIO()):
            observation, _ = self._env.reset(seed=seed)
        self.last_action = None
        return _sample(observation), {}

    def step(self, action: Any, elapsed: float = 0.0) -> tuple[Sample, float, bool, bool, dict[str, Any]]:
        """Do one action (0..6). The reward is above 0 only on success. A grid world waits: `elapsed` is unused."""
        with contextlib.redirect_stdout(io.StringIO()):
            observation, reward, terminated, truncated, _ = self._env.step(int(action))
        self.last_action = int(action)
        info: dict[str, Any] = {"success": float(reward) > 0, "score": float(reward)}
        if (terminated or truncated) and not info["success"]:
            info["failure"] = "out of steps" if truncated else "the mission cannot succeed any more"
        return _sample(observation), float(reward), bool(terminated), bool(truncated), info

    def render(self) -> npt.NDArray[np.uint8]:
        """The whole room from above with the agent's view marked, 24 pixels a cell."""
        return np.asarray(self._env.unwrapped.get_frame(highlight=True, tile_size=24), np.uint8)

    @property
    def grid(self) -> Any:
        """Minigrid's own environment, with everything that the policy does not see."""
        return self._env.unwrapped

    @property
    def max_steps(self) -> int:
        """Steps after which the episode ends without success (Minigrid's default for the level)."""
        return max(int(env.unwrapped.max_steps) for env in self._envs)

    def close(self) -> None:
        """Free the environments."""
        for env in self._envs:
            env.close()


def _make(level: str) -> Any:
    os.environ.setdefault("SDL_VIDEODRIVER", "offscreen")  # "dummy" gives black frames in some packages
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    import minigrid  # noqa: F401  (registers the levels)
    from minigrid.wrappers import RGBImgPartialObsWrapper

    levels = sorted(match[1] for name in gymnasium.registry if (match := re.fullmatch(r"BabyAI-(\w+)-v0", name)))
    if level not in levels:
        hint = did_you_mean(level, levels, f"Known: {', '.join(levels[:8])}, ...")
        raise CollectError(f"Unknown BabyAI level '{level}'.{hint}")
    with contextlib.redirect_stdout(io.StringIO()):
        return RGBImgPartialObsWrapper(gymnasium.make(f"BabyAI-{level}-v0"), tile_size=TILE_SIZE)


def _sample(observation: Any) -> Sample:
    return {IMAGE: np.asarray(observation["image"], np.uint8), TASK: str(observation["mission"])}
