"""The names of what the rover world tells, and the words for what is to be said of it; a robot reads them, too.

The words are those of SIM v0. Not here: when each is right (`outlook.py`), types (`schema.py`).
"""

from __future__ import annotations

from vla_datasets.keys import image

__all__ = ["ACTIONS", "HIGH", "IMAGE", "REASONS", "RISKS", "SAID", "SIZE", "TELEMETRY", "TELEMETRY_NAMES", "WEIGHT"]

SIZE = 96  # pixels of the image's sides
IMAGE = image("front")
TELEMETRY = "telemetry"
TELEMETRY_NAMES = ("ax", "ay", "az", "gx", "gy", "gz", "v", "w")  # m/s^2, rad/s; v (m/s) and w are the wheels'
WEIGHT = "weight"  # of a frame in training: less where its label hangs by a hair; no policy sees it

RISKS = ("none", "low", "medium", "high")
REASONS = ("human", "obstacle", "tight_space", "unknown")
ACTIONS = ("continue", "slow", "stop", "reverse", "turn_left", "turn_right")
SAID = {"risk": RISKS, "reason": REASONS, "action": ACTIONS}  # an action of the world has an index of each
HIGH = RISKS.index("high")
