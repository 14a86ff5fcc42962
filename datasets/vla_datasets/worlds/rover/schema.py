"""What one frame of the rover world holds, and the words for what is to be said of it.

The labels are those of SIM v0. Not here: when each is right (`outlook.py`).
"""

from __future__ import annotations

from vla_datasets.keys import ACTION, DONE, REWARD, image
from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.worlds.world import Schema

__all__ = [
    "ACTIONS",
    "FRAMES_PER_SECOND",
    "HIGH",
    "IMAGE",
    "REASONS",
    "RISKS",
    "SAID",
    "SCHEMA",
    "SIZE",
    "TELEMETRY",
    "TELEMETRY_NAMES",
    "WEIGHT",
]

SIZE = 96  # pixels of the image's sides
FRAMES_PER_SECOND = 4
IMAGE = image("front")
TELEMETRY = "telemetry"
TELEMETRY_NAMES = ("ax", "ay", "az", "gx", "gy", "gz", "v", "w")  # m/s^2, rad/s; v (m/s) and w are the wheels'
WEIGHT = "weight"  # of a frame in training: less where its label hangs by a hair; no policy sees it

RISKS = ("none", "low", "medium", "high")
REASONS = ("human", "obstacle", "tight_space", "unknown")
ACTIONS = ("continue", "slow", "stop", "reverse", "turn_left", "turn_right")
SAID = {"risk": RISKS, "reason": REASONS, "action": ACTIONS}  # an action of the world has an index of each
HIGH = RISKS.index("high")

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
