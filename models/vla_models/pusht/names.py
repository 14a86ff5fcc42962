"""Names and units of the Push-T policies' tensors, each written once.

Not here: those of chunks (`vla_models.chunks.names`), keys of the world's samples (`vla_datasets.worlds.pusht.schema`).
"""

from __future__ import annotations

__all__ = [
    "ACTION_UNIT",
    "CORNERS",
    "CORNERS_INPUT",
    "GOAL_INPUT",
    "IMAGE_INPUT",
    "MIDDLE",
    "OBSERVATION",
    "PATCHES_INPUT",
    "PLACE_UNIT",
    "SEEN_CORNERS",
    "STATE_INPUT",
]

CORNERS = 8
CORNERS_INPUT = "corners"  # (N, 8, features): where a corner is, and where it should be
GOAL_INPUT = "goal"  # (N, 3, S, S) in [-1, 1]: the block where it should be
IMAGE_INPUT = "image"  # (N, 3, S, S) in [-1, 1]: the plane from above
PATCHES_INPUT = "patches"  # (N, patches, features): where the middle of each patch of a picture is
SEEN_CORNERS = "seen_corners"  # (N, 16, features): what training alone asks of tokens, see `observation.corner_rows`
STATE_INPUT = "state"  # (N, features): the pusher
OBSERVATION = "observation"  # (N, features): see `observation.py`

ACTION_UNIT = 100.0  # px, of a chunk's places relative to the pusher of now; makes them about as large as the noise
PLACE_UNIT = 256.0  # px
MIDDLE = 256.0  # px, of the plane
