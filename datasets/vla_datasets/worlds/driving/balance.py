"""Which frames of a drive are worth training on: most of any drive follows its lane straight on.

Shares are those of the earlier CARLA system: "command" of its rebalancing, "steering" of its collector. A frame that is
no candidate stays in its episode, so that the frame before any other one is the one before in time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vla_datasets.worlds.driving.schema import COMMANDS

__all__ = ["BALANCES", "candidates"]

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
    if by == "command":
        shares = np.array([_SHARES[name.split()[0]] for name in COMMANDS])[commands]
    else:
        straight = (commands == COMMANDS.index("follow lane")) & (np.abs(steers) < _STRAIGHT)
        shares = np.where(straight, _STRAIGHT_SHARE, 1.0)
    found: npt.NDArray[np.bool_] = rng.random(len(commands)) < shares
    return found
