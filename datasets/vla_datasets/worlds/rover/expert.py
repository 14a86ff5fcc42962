"""What is right to say, by one who knows everything (`outlook.py`)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vla_datasets.worlds.rover.environment import Rover
from vla_datasets.worlds.world import Expert

__all__ = ["expert"]


def expert(world: Rover) -> Expert:
    """Indices of risk, reason and action, (3,), for the world's state of now."""

    def say() -> npt.NDArray[np.int64]:
        return world.outlook.said

    return say
