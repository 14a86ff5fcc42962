"""Push-T with pictures of 96 x 96: the plane from above, and the goal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from vla_datasets.keys import Sample
from vla_datasets.worlds.pusht.environment import PushT, make
from vla_datasets.worlds.pusht_pixels.schema import GOAL_IMAGE, IMAGE, IMAGE_SHAPE

__all__ = ["PushTPixels"]

_NOWHERE = np.array([-1000.0, -1000.0, 0.0])  # where nothing is drawn


class PushTPixels(PushT):
    """`PushT` with pictures.

    On `fixed` the goal is drawn in the plane, as in gym-pusht. On `varied` it is not: the goal's picture alone says it.
    """

    def __init__(self, level: str) -> None:
        super().__init__(level)
        self._goal_picture = np.zeros(IMAGE_SHAPE, np.uint8)
        picture = spaces.Box(0, 255, IMAGE_SHAPE, np.uint8)
        self.observation_space = spaces.Dict({IMAGE: picture, GOAL_IMAGE: picture, **self.observation_space.spaces})

    def begin(self) -> None:
        """The goal's picture."""
        self._goal_picture = self._picture_of_goal()

    def seen(self) -> Sample:
        """The observation of now."""
        return {IMAGE: self._picture(), GOAL_IMAGE: self._goal_picture, **super().seen()}

    def _picture(self) -> npt.NDArray[np.uint8]:
        if self.level == "varied":
            self.env.goal_pose = _NOWHERE
        drawn = np.asarray(self.env._render(visualize=False), np.uint8)
        self.env.goal_pose = self.goal
        return drawn

    def _picture_of_goal(self) -> npt.NDArray[np.uint8]:
        """The block where it should be, and no pusher."""
        other = make()
        other.reset(seed=0)
        other.block.angle = float(self.goal[2])  # first: it turns the block around its centre of gravity
        other.block.position = tuple(self.goal[:2])
        other.agent.position = tuple(_NOWHERE[:2])
        other.goal_pose = _NOWHERE
        for body in (other.block, other.agent):
            other.space.reindex_shapes_for_body(body)  # what is drawn moves with a step, or so
        return np.asarray(other._render(visualize=False), np.uint8)
