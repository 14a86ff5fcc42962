"""The names of what a sample holds, each written once: LeRobot's keys.

A sample is a dict: images `observation.images.<camera>` uint8 (H, W, 3), `observation.state` float32 (S,), `action`
float32 (A,) or int64 (1,), `task` str, and what a world adds. An observation is a sample without `action`.

Not here: shapes and types of one world's samples (its `schema.py`), names of a policy's tensors (its `names.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["ACTION", "DONE", "EXECUTED", "REWARD", "STATE", "TASK", "Sample", "image", "is_pad", "tile_table"]

Sample = Mapping[str, Any]

STATE = "observation.state"
ACTION = "action"
EXECUTED = "action.executed"  # what was done where `action` is only what the expert wanted
TASK = "task"
REWARD = "next.reward"
DONE = "next.done"


def image(camera: str) -> str:
    """The key of a camera's images."""
    return f"observation.images.{camera}"


def is_pad(key: str) -> str:
    """Beside a window of `key`: which of its steps lie outside the episode, and are copies of its edge."""
    return f"{key}_is_pad"


def tile_table(key: str) -> str:
    """Beside a window of `key` whose images are numbers of tiles: the tiles."""
    return f"{key}_tiles"
