"""Where a car was, ten times a second, as the states of Waymo's set: 4 Hz, in the car's axes of one moment.

The driving world has CARLA's axes (y to the south, yaw clockwise) and the car's middle; Waymo's set x forward, y left,
and the rear axle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vla_datasets.waymo.names import FUTURE, HERTZ, PAST
from vla_datasets.worlds.driving.schema import FRAMES_PER_SECOND
from vla_datasets.worlds.driving.vehicle import WHEELBASE, Vehicle

__all__ = ["AFTER", "BEFORE", "Track"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
_STEP = 1 / FRAMES_PER_SECOND  # s
_PAST_TIMES, _FUTURE_TIMES = np.arange(1 - PAST, 1) / HERTZ, np.arange(1, FUTURE + 1) / HERTZ  # s from now
BEFORE = math.ceil((PAST - 1) / HERTZ / _STEP) + 1  # steps that a moment's past needs, and one for acceleration
AFTER = round(FUTURE / HERTZ / _STEP)  # and the future


class Track:
    """A drive of K moments, 0.1 s apart.

    Attributes:
        places: (K, 2), of the rear axle, in the world's axes.
        yaws: (K,), without jumps.
        speeds: (K,) in m/s.
    """

    def __init__(self, cars: Sequence[Vehicle]) -> None:
        self.yaws = np.unwrap([car.yaw for car in cars])
        self.speeds = np.array([car.speed for car in cars])
        middle = np.array([(car.x, car.y) for car in cars])
        self.places: Doubles = middle - WHEELBASE / 2 * _ahead(self.yaws)

    def past(self, now: int) -> Floats:
        """The states (16, 6) up to moment `now`, which is `BEFORE` or later."""
        times = now * _STEP + _PAST_TIMES
        velocity, earlier = self._velocities(times), self._velocities(times - _STEP)
        columns = (self._places(times) - self.places[now], velocity, (velocity - earlier) / _STEP)
        return np.concatenate([self._turned(now, column) for column in columns], axis=1).astype(np.float32)

    def future(self, now: int) -> Floats:
        """The places (20, 2) after moment `now`, of which there are `AFTER` more."""
        places = self._places(now * _STEP + _FUTURE_TIMES) - self.places[now]
        return self._turned(now, places).astype(np.float32)

    def _turned(self, now: int, vectors: Doubles) -> Doubles:
        """Vectors (N, 2) of the world's axes in the car's of a moment."""
        ahead = _ahead(self.yaws[now])
        left = np.array([ahead[1], -ahead[0]])
        return np.stack([vectors @ ahead, vectors @ left], axis=1)

    def _velocities(self, times: Doubles) -> Doubles:
        moments = np.arange(len(self.yaws)) * _STEP
        speeds: Doubles = np.interp(times, moments, self.speeds)
        return speeds[:, None] * _ahead(np.interp(times, moments, self.yaws))

    def _places(self, times: Doubles) -> Doubles:
        """Between two moments along the cubic that has their places and velocities."""
        first = np.clip((times / _STEP + 1e-9).astype(int), 0, len(self.yaws) - 2)
        share = (times / _STEP - first)[:, None]
        velocity = self.speeds[:, None] * _ahead(self.yaws) * _STEP
        change = self.places[first + 1] - self.places[first]
        begin, end = velocity[first] - change, change - velocity[first + 1]
        bend = share * (1 - share) * ((1 - share) * begin + share * end)
        found: Doubles = self.places[first] + share * change + bend
        return found


def _ahead(yaws: npt.ArrayLike) -> Doubles:
    """Unit vectors (..., 2) in the world's axes."""
    return np.stack([np.cos(yaws), np.sin(yaws)], axis=-1)
