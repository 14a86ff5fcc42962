"""How much of the goal the block covers, by shapely, as gym-pusht counts it.

Not here: the world's own count (`environment.py` asks gym-pusht).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely

from vla_datasets.worlds.pusht.block import OUTLINE
from vla_datasets.worlds.pusht.schema import SUCCESS

__all__ = ["coverage", "reward"]

Array = npt.NDArray[np.float64]


def coverage(corners: Array, goal: Array) -> Array:
    """Share (N,) of the goal that blocks cover.

    Args:
        corners: keypoints of the blocks (N, 8, 2).
        goal: those of the goal (8, 2).
    """
    target = shapely.polygons(goal[OUTLINE])
    both = shapely.intersection(shapely.polygons(corners[:, OUTLINE]), target)
    share: Array = shapely.area(both) / target.area
    return share


def reward(covered: Array) -> Array:
    """Of coverage: 1 where the block is on its goal."""
    return np.minimum(covered / SUCCESS, 1.0)
