"""Which frames of a drive are worth training on: most of any drive follows its lane straight on.

Shares are those of the earlier CARLA system: "command" of its rebalancing, "steering" of its collector. A frame that is
no candidate stays in its episode, so that the frame before any other one is the one before in time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError
from vla_datasets.keys import ACTION
from vla_datasets.lerobot.reader import open_dataset
from vla_datasets.worlds.driving.schema import COMMAND, COMMANDS, SCHEMA

__all__ = ["BALANCES", "candidates", "frame_shares"]

BALANCES = ("command", "steering")
_SHARES = {"follow": 0.70, "go": 0.80, "turn": 1.0, "change": 1.0, "stop": 0.15, "brake": 0.15}
_STRAIGHT, _STRAIGHT_SHARE = 0.05, 0.10  # steering below which a lane is followed straight on


def candidates(
    commands: npt.NDArray[np.int64], steers: npt.NDArray[np.float32], rng: np.random.Generator, by: str = BALANCES[0]
) -> npt.NDArray[np.bool_]:
    """Of each frame (N,) whether it is a candidate, drawn by its share.

    Args:
        commands: (N,) indexes of `schema.COMMANDS`.
        steers: (N,) of the expert.
        rng: draws once for each frame.
        by: "command", shares of commands; or "steering", a tenth of the frames that follow a lane straight on, and all
            others.
    """
    found: npt.NDArray[np.bool_] = rng.random(len(commands)) < _shares(commands, steers, by)
    return found


def frame_shares(root: Path, split: str, by: str) -> npt.NDArray[np.float64]:
    """Of each frame (N,) of a split how often it is a candidate, from above 0 to 1.

    Raises:
        DatasetError: `root` is no data set of a driving world, or damaged.
    """
    dataset = open_dataset(root)
    types = {name: SCHEMA.features[name].arrow_type() for name in (COMMAND, ACTION)}
    found = []
    for episode in dataset.read_episodes(dataset.split(split), types):
        commands = np.asarray(episode.columns[COMMAND], np.int64)
        if not ((commands >= 0) & (commands < len(COMMANDS))).all():
            raise DatasetError(
                f"{root}: episode {episode.episode_index}: '{COMMAND}' is {commands.min()} to {commands.max()}; "
                f"commands are 0 to {len(COMMANDS) - 1}."
            )
        found.append(_shares(commands, np.asarray(episode.columns[ACTION], np.float32)[:, 0], by))
    return np.concatenate(found)


def _shares(commands: npt.NDArray[np.int64], steers: npt.NDArray[np.float32], by: str) -> npt.NDArray[np.float64]:
    if by == "command":
        return np.array([_SHARES[name.split()[0]] for name in COMMANDS])[commands]
    straight = (commands == COMMANDS.index("follow lane")) & (np.abs(steers) < _STRAIGHT)
    return np.where(straight, _STRAIGHT_SHARE, 1.0)
