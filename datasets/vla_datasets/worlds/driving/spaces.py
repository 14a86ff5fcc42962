"""Gymnasium's spaces of what a driving world takes and shows."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from vla_datasets.keys import STATE, TASK
from vla_datasets.worlds.driving.schema import COMMAND, COMMANDS, CONCEPTS, IMAGE, LOCATION, SIZE, concept

__all__ = ["action_space", "observation_space"]


def action_space() -> spaces.Box:
    """Steer -1..1, throttle and brake 0..1."""
    return spaces.Box(np.array([-1, 0, 0], np.float32), np.ones(3, np.float32))


def observation_space() -> spaces.Dict:
    """Picture, speed, place, command, concepts and the task in words."""
    return spaces.Dict(
        {
            IMAGE: spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8),
            STATE: spaces.Box(0, 60, (1,), np.float32),
            LOCATION: spaces.Box(-np.inf, np.inf, (2,), np.float32),
            COMMAND: spaces.Box(0, len(COMMANDS) - 1, (1,), np.int64),
            TASK: spaces.Text(40, charset="abcdefghijklmnopqrstuvwxyz "),
            **{concept(name): spaces.MultiBinary(1) for name in CONCEPTS},
        }
    )
