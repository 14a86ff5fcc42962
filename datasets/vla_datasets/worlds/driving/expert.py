"""Pure pursuit of the route at 15 km/h, stopping for what is in the way.

The rule is that of the earlier CARLA system's collector: aim at the first point of the path more than 4 m ahead, steer
0.6 of the angle to it; throttle 0.5 below the wanted speed, none above it; full brake before a hazard. Coulter,
Implementation of the Pure Pursuit Path Tracking Algorithm, CMU-RI-TR-92-01.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vla_datasets.worlds.driving.lanes import wrapped
from vla_datasets.worlds.driving.trip import Trip
from vla_datasets.worlds.driving.vehicle import Vehicle
from vla_datasets.worlds.world import Expert

__all__ = ["Driven", "expert"]

_AIM, _GAIN = 4.0, 0.6  # metres, steer per radian
_WANTED, _SLACK = 15 / 3.6, 2 / 3.6  # m/s
_THROTTLE = 0.5


class Driven(Protocol):
    """A world with a car on a trip."""

    @property
    def ego(self) -> Vehicle:
        """The car."""

    @property
    def trip(self) -> Trip:
        """Where it is on its way, and what is in it."""

    @property
    def last_action(self) -> npt.NDArray[np.float32]:
        """Steer, throttle, brake of the step before."""


def expert(world: Driven) -> Expert:
    """The action for the world's state of now: steer, throttle, brake."""
    return lambda: _control(world)


def _control(world: Driven) -> npt.NDArray[np.float32]:
    ego, route, index = world.ego, world.trip.route, world.trip.progress
    ahead = route.points[index : index + 12]
    far = np.hypot(ahead[:, 0] - ego.x, ahead[:, 1] - ego.y) > _AIM
    x, y = ahead[int(np.argmax(far))] if far.any() else ahead[-1]
    angle = float(wrapped(math.atan2(y - ego.y, x - ego.x) - ego.yaw))
    steer = min(max(_GAIN * angle, -1.0), 1.0)
    if world.trip.hazard:
        return np.array([0.0 if ego.speed < 0.5 else steer, 0.0, 1.0], np.float32)
    slow = ego.speed < _WANTED - _SLACK or (ego.speed < _WANTED and world.last_action[1] > 0)
    return np.array([steer, _THROTTLE if slow else 0.0, 0.0], np.float32)
