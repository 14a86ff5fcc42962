"""What one BabyAI frame holds.

Environments: Chevalier-Boisvert et al., "BabyAI", ICLR 2019 (arXiv 1810.08272), as in Minigrid 3.
"""

from __future__ import annotations

from vla_datasets.keys import ACTION, DONE, REWARD, image
from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.worlds.world import Schema

__all__ = ["ACTION_NAMES", "IMAGE", "IMAGE_SHAPE", "SCHEMA", "TILE_SIZE"]

TILE_SIZE = 8  # pixels per grid cell; the agent sees 7x7 cells
IMAGE_SHAPE = (56, 56, 3)
IMAGE = image("front")

ACTION_NAMES = ("left", "right", "forward", "pickup", "drop", "toggle", "done")  # index = the action's number

SCHEMA = Schema(
    features={
        IMAGE: Feature("image", IMAGE_SHAPE, ("height", "width", "channels")),
        ACTION: Feature("int64", (1,)),
        REWARD: Feature("float32", (1,)),
        DONE: Feature("bool", (1,)),
        **BOOKKEEPING,
    },
    fps=10,  # nominal: a grid world has steps, not seconds
    idle=ACTION_NAMES.index("done"),  # changes nothing
)
