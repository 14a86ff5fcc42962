"""Names and units of the Push-T policies' tensors, each written once.

Not here: those of chunks (`vla_models.chunks.names`), keys of the world's samples (`vla_datasets.worlds.pusht.schema`).
"""

from __future__ import annotations

__all__ = [
    "ACTION_UNIT",
    "CORNERS",
    "CORNERS_INPUT",
    "MIDDLE",
    "OBSERVATION",
    "PLACE_UNIT",
    "STATE_INPUT",
]

CORNERS = 8
CORNERS_INPUT = "corners"  # (N, 8, features): where a corner is, and where it should be
STATE_INPUT = "state"  # (N, features): the pusher
OBSERVATION = "observation"  # (N, features): see `observation.py`

ACTION_UNIT = 100.0  # px, of a chunk's places relative to the pusher of now; makes them about as large as the noise
PLACE_UNIT = 256.0  # px
MIDDLE = 256.0  # px, of the plane
