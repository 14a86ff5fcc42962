"""Push-T with pictures of 96 x 96: the plane from above, and the goal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from vla_datasets.errors import CollectError
from vla_datasets.keys import Sample
from vla_datasets.worlds.pusht.environment import PushT, drawn_goal, make
from vla_datasets.worlds.pusht_pixels.schema import GOAL_IMAGE, IMAGE, IMAGE_SHAPE

__all__ = ["PushTPixels"]

_PICTURES = ("", "shuffled", "blank")  # of the goal
_OTHER = 2**33  # beside a seed: that of another goal
_NOWHERE = np.array([-1000.0, -1000.0, 0.0])  # where nothing is drawn


class PushTPixels(PushT):
    """`PushT` with pictures.

    On `fixed` the goal is drawn in the plane, as in gym-pusht. On `varied` it is not: the goal's picture alone says it.
    On `varied+shuffled` that is the picture of another goal, on `varied+blank` there is nothing in it: to measure
    whether a policy looks at it.
    """

    def __init__(self, level: str) -> None:
        plain, _, self._shown = level.partition("+")
        if self._shown not in _PICTURES or (self._shown and plain != "varied"):
            raise CollectError(f"Unknown Push-T level '{level}'. Known: fixed, varied, varied+shuffled, varied+blank")
        super().__init__(plain)
        self.level = level
        self._goal_picture = np.zeros(IMAGE_SHAPE, np.uint8)
        picture = spaces.Box(0, 255, IMAGE_SHAPE, np.uint8)
        self.observation_space = spaces.Dict({IMAGE: picture, GOAL_IMAGE: picture, **self.observation_space.spaces})

    def begin(self, seed: int | None) -> None:
        """The goal's picture."""
        goals = {"": self.goal, "shuffled": drawn_goal(_OTHER, seed), "blank": _NOWHERE}
        self._goal_picture = _picture_of_goal(goals[self._shown])

    def seen(self) -> Sample:
        """The observation of now."""
        return {IMAGE: self._picture(), GOAL_IMAGE: self._goal_picture, **super().seen()}

    def _picture(self) -> npt.NDArray[np.uint8]:
        if self.varied:
            self.env.goal_pose = _NOWHERE
        drawn = np.asarray(self.env._render(visualize=False), np.uint8)
        self.env.goal_pose = self.goal
        return drawn


def _picture_of_goal(goal: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """The block at a pose (3,), and no pusher."""
    other = make()
    other.reset(seed=0)
    other.block.angle = float(goal[2])  # first: it turns the block around its centre of gravity
    other.block.position = tuple(goal[:2])
    other.agent.position = tuple(_NOWHERE[:2])
    other.goal_pose = _NOWHERE
    for body in (other.block, other.agent):
        other.space.reindex_shapes_for_body(body)  # what is drawn moves with a step, or so
    return np.asarray(other._render(visualize=False), np.uint8)
