"""What one frame of the rover world holds."""

from __future__ import annotations

from vla_datasets.keys import ACTION, DONE, REWARD
from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.worlds.rover.names import IMAGE, REASONS, SAID, SIZE, TELEMETRY, TELEMETRY_NAMES, WEIGHT
from vla_datasets.worlds.world import Schema

__all__ = ["FRAMES_PER_SECOND", "SCHEMA"]

FRAMES_PER_SECOND = 4

SCHEMA = Schema(
    features={
        IMAGE: Feature("image", (SIZE, SIZE, 3), ("height", "width", "channels")),
        TELEMETRY: Feature("float32", (len(TELEMETRY_NAMES),), TELEMETRY_NAMES),
        WEIGHT: Feature("float32", (1,)),
        ACTION: Feature("int64", (len(SAID),), tuple(SAID)),
        REWARD: Feature("float32", (1,)),
        DONE: Feature("bool", (1,)),
        **BOOKKEEPING,
    },
    fps=FRAMES_PER_SECOND,
    idle=(0, REASONS.index("unknown"), 0),
)
