"""What a world is: a `gymnasium.Env` with equal bytes for equal seeds, and an expert that knows its whole state.

Not here: the worlds (a folder each) and their list (`registry.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vla_datasets.keys import Sample
from vla_datasets.lerobot.format import Feature

__all__ = ["Expert", "ExpertError", "Schema", "World"]


class ExpertError(Exception):
    """The expert does not know what to do: the episode is no demonstration."""


class World(Protocol):
    """One level of a world, a `gymnasium.Env`.

    `info` of a step holds `success` (bool), `score` (float) and, where the episode ended without success, `failure`
    (what it was, in words). A world whose episodes are dear may say `usable` with a failure: how many of the steps are
    a demonstration all the same; without it none is.
    """

    level: str

    @property
    def max_steps(self) -> int:
        """Steps after which an episode ends without success."""

    def reset(self, *, seed: int) -> tuple[Sample, dict[str, Any]]:
        """Start the episode of `seed`; the first observation, with `task`, and info.

        Info may hold `split`: then the episode is a demonstration of that split ("train" or "val") alone.
        """

    def step(self, action: Any, elapsed: float = 0.0) -> tuple[Sample, float, bool, bool, dict[str, Any]]:
        """Do one action: observation, reward, terminated, truncated, info.

        Args:
            action: of the world's `action_space`.
            elapsed: seconds that the policy computed; a world with a clock moves on by them first.
        """

    def render(self) -> npt.NDArray[np.uint8]:
        """A picture of everything, (H, W, 3), for reports."""

    def close(self) -> None:
        """Free what it holds."""


Expert = Callable[[], Any]  # the action in the world's state of now; raises ExpertError


@dataclass(frozen=True)
class Schema:
    """What a frame of the world's demonstrations holds, in the order of its columns, and how time goes.

    Attributes:
        fps: frames, which are control steps, per second.
        idle: the action of a robot that was told nothing yet; None: there is none, and it has to be told at once.
    """

    features: Mapping[str, Feature]
    fps: int
    idle: Any = None
