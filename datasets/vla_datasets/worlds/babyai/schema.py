"""What one BabyAI frame holds, and which levels have a training config.

Environments: Chevalier-Boisvert et al., "BabyAI", ICLR 2019 (arXiv 1810.08272), as in Minigrid 3.
"""

from __future__ import annotations

from collections.abc import Mapping

from vla_datasets.lerobot.format import BOOKKEEPING, Feature

__all__ = [
    "ACTION",
    "ACTION_NAMES",
    "DONE",
    "FEATURES",
    "FPS",
    "IMAGE",
    "IMAGE_SHAPE",
    "LEVELS",
    "REWARD",
    "TILE_SIZE",
]

TILE_SIZE = 8  # pixels per grid cell; the agent sees 7x7 cells
IMAGE_SHAPE = (56, 56, 3)
FPS = 10  # nominal: a grid world has steps, not seconds
LEVELS = ("GoToObj", "GoToRedBall", "GoToLocal")  # with a training config; collect takes any level

IMAGE = "observation.images.front"
ACTION = "action"
REWARD = "next.reward"
DONE = "next.done"

ACTION_NAMES = ("left", "right", "forward", "pickup", "drop", "toggle", "done")  # index = the action's number

FEATURES: Mapping[str, Feature] = {
    IMAGE: Feature("image", IMAGE_SHAPE, ("height", "width", "channels")),
    ACTION: Feature("int64", (1,)),
    REWARD: Feature("float32", (1,)),
    DONE: Feature("bool", (1,)),
    **BOOKKEEPING,
}
