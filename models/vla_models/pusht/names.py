"""Names and units of the Push-T policies' tensors, each written once.

Not here: keys of the world's samples (`vla_datasets.worlds.pusht.schema`).
"""

from __future__ import annotations

__all__ = [
    "ACTIONS",
    "ACTION_UNIT",
    "CORNERS",
    "CORNERS_INPUT",
    "MIDDLE",
    "NOISE",
    "OBSERVATION",
    "PLACE_UNIT",
    "STATE_INPUT",
]

CORNERS = 8
CORNERS_INPUT = "corners"  # (N, 8, features): where a corner is, and where it should be
STATE_INPUT = "state"  # (N, features): the pusher
OBSERVATION = "observation"  # (N, features): see `observation.py`
NOISE = "noise"  # (N, horizon, 2): where the sampler begins; in training the chunk on its way
ACTIONS = "actions"  # (N, horizon, 2): places relative to the pusher of now, in `ACTION_UNIT` px

ACTION_UNIT = 100.0  # px; makes the chunk's values about as large as the noise
PLACE_UNIT = 256.0  # px
MIDDLE = 256.0  # px, of the plane
