"""What a frame of Push-T holds: places in pixels of the 512 x 512 plane, y down.

The task: Chi et al., "Diffusion Policy", RSS 2023 (arXiv 2303.04137); the environment is the package `gym-pusht`.
"""

from __future__ import annotations

import numpy as np

from vla_datasets.keys import ACTION, DONE, REWARD, STATE
from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.worlds.world import Schema

__all__ = ["GOAL", "GOAL_POSE", "KEYPOINTS", "SCHEMA", "SENTENCE", "SIDE", "SUCCESS"]

SENTENCE = "push the T onto its goal"  # the task
SIDE = 512.0  # of the plane
SUCCESS = 0.95  # coverage of the goal
KEYPOINTS = "observation.environment_state"  # LeRobot's name: the block's corners, x and y of each
GOAL = "observation.goal"  # the same corners where the block should be
GOAL_POSE = np.array([256, 256, np.pi / 4])  # of gym-pusht: x, y, angle of the body's origin

_CORNERS = tuple(f"{axis}{number}" for number in range(8) for axis in "xy")
SCHEMA = Schema(
    features={
        STATE: Feature("float32", (2,), ("x", "y")),  # the pusher's centre
        KEYPOINTS: Feature("float32", (16,), _CORNERS),
        GOAL: Feature("float32", (16,), _CORNERS),
        ACTION: Feature("float32", (2,), ("x", "y")),  # where the pusher should go
        REWARD: Feature("float32", (1,)),
        DONE: Feature("bool", (1,)),
        **BOOKKEEPING,
    },
    fps=10,
)
