"""What a frame of Push-T with pictures holds: that of `pusht`, the plane from above and the goal."""

from __future__ import annotations

from vla_datasets.keys import image
from vla_datasets.lerobot.format import Feature
from vla_datasets.worlds.pusht import schema as pusht
from vla_datasets.worlds.world import Schema

__all__ = ["GOAL_IMAGE", "IMAGE", "IMAGE_SHAPE", "SCHEMA"]

IMAGE, GOAL_IMAGE = image("top"), image("goal")
IMAGE_SHAPE = (96, 96, 3)

_PICTURE = Feature("image", IMAGE_SHAPE, ("height", "width", "channels"))

SCHEMA = Schema(features={IMAGE: _PICTURE, GOAL_IMAGE: _PICTURE, **pusht.SCHEMA.features}, fps=pusht.SCHEMA.fps)
