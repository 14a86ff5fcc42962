"""Make BabyAI environments: pixels from the agent's view, no window, no text on stdout."""

from __future__ import annotations

import contextlib
import io
import os
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import CollectError
from vla_datasets.worlds.babyai.schema import TILE_SIZE
from vla_isa.errors import did_you_mean

__all__ = ["Environment"]

Image = npt.NDArray[np.uint8]


class Environment:
    """One BabyAI level, seeded per episode. `max_steps` is the level's own limit and is never changed."""

    def __init__(self, level: str) -> None:
        os.environ.setdefault("SDL_VIDEODRIVER", "offscreen")  # "dummy" gives black frames in some packages
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        try:
            import gymnasium
            import minigrid  # noqa: F401  (registers the levels)
            from minigrid.wrappers import RGBImgPartialObsWrapper
        except ImportError as error:
            raise CollectError(
                f"BabyAI needs the package '{error.name}', which is not installed; pip install 'vla-toolchain[envs]'"
            ) from error
        levels = sorted(
            match[1] for name in gymnasium.registry if (match := re.fullmatch(r"BabyAI-(\w+)-v0", name)) is not None
        )
        if level not in levels:
            hint = did_you_mean(level, levels, f"Known: {', '.join(levels[:8])}, ...")
            raise CollectError(f"Unknown BabyAI level '{level}'.{hint}")
        self.level = level
        with contextlib.redirect_stdout(io.StringIO()):
            self._env: Any = RGBImgPartialObsWrapper(gymnasium.make(f"BabyAI-{level}-v0"), tile_size=TILE_SIZE)
        self.mission = ""

    def reset(self, seed: int) -> Image:
        """Start the episode of `seed`; return the first image (56, 56, 3) and set `self.mission`."""
        # The level generator prints "Sampling rejected" for every layout it throws away.
        with contextlib.redirect_stdout(io.StringIO()):
            observation, _ = self._env.reset(seed=seed)
        self.mission = str(observation["mission"])
        return np.asarray(observation["image"], np.uint8)

    def step(self, action: int) -> tuple[Image, float, bool]:
        """Do one action (0..6); return the next image, the reward (> 0 only on success) and the end."""
        with contextlib.redirect_stdout(io.StringIO()):
            observation, reward, terminated, truncated, _ = self._env.step(action)
        return np.asarray(observation["image"], np.uint8), float(reward), bool(terminated or truncated)

    def bot(self) -> Any:
        """The scripted expert for the episode in progress; it sees the whole grid, the policy does not."""
        from minigrid.utils.baby_ai_bot import BabyAIBot

        return BabyAIBot(self._env.unwrapped)

    def render(self, tile_size: int = 24) -> Image:
        """The whole room from above with the agent's view marked, for reports."""
        return np.asarray(self._env.unwrapped.get_frame(highlight=True, tile_size=tile_size), np.uint8)

    @property
    def max_steps(self) -> int:
        """Steps after which the episode ends without success (Minigrid's default for the level)."""
        return int(self._env.unwrapped.max_steps)

    def close(self) -> None:
        """Free the environment."""
        self._env.close()
