"""Waypoints as the network says them: the mean velocity up to each, less the velocity of now.

So a network that says nothing drives straight on at its speed, all 40 numbers are of one size, and 8 bits have fine
steps where the car is soon and coarser ones where it is late, as its errors are.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vla_datasets.waymo.names import FUTURE, HERTZ

__all__ = ["TIMES", "motion_of", "velocity_of", "waypoints_of"]

Floats = npt.NDArray[np.float32]
TIMES = np.arange(1, FUTURE + 1, dtype=np.float32) / np.float32(HERTZ)  # s, of the waypoints
_VELOCITY = slice(2, 4)  # of a state's values


def velocity_of(past: Floats) -> Floats:
    """Of now, (N, 2) in m/s, of past states (N, 16, 6)."""
    return past[:, -1, _VELOCITY]


def motion_of(waypoints: Floats, velocity: Floats) -> Floats:
    """(N, 20, 2) in m/s, of waypoints (N, 20, 2) in m and velocities (N, 2) of now."""
    return waypoints / TIMES[:, None] - velocity[:, None]


def waypoints_of(motion: Floats, velocity: Floats) -> Floats:
    """(N, 20, 2) in m; the inverse of `motion_of`."""
    return (motion + velocity[:, None]) * TIMES[:, None]
