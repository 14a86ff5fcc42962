"""A drive through the town as numbers: the car, its trip, traffic and lights, without pictures.

Not here: what is seen of it (`environment.py`, `scene.py`), what is in the way (`hazards.py`).
"""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.worlds.driving.hazards import hit, light_ahead
from vla_datasets.worlds.driving.lanes import LaneMap, read_map
from vla_datasets.worlds.driving.levels import Level
from vla_datasets.worlds.driving.lights import TrafficLights
from vla_datasets.worlds.driving.opendrive import grid_town
from vla_datasets.worlds.driving.pushes import Pushes
from vla_datasets.worlds.driving.route import random_route, splits_of
from vla_datasets.worlds.driving.schema import FRAMES_PER_SECOND
from vla_datasets.worlds.driving.traffic import Traffic
from vla_datasets.worlds.driving.trip import Trip
from vla_datasets.worlds.driving.vehicle import Vehicle

__all__ = ["Simulation"]

_CARS, _PEDESTRIANS = 16, 24  # with traffic
_SUBSTEPS = 2  # of traffic, in a frame


@functools.cache
def _town() -> LaneMap:
    return read_map(grid_town())


class Simulation:
    """Episodes of a level; everything that is random comes from the episode's seed.

    Attributes:
        town: the lanes, the same in every episode.
        conditions: weather, traffic and pushes of the episode.
        ego, trip, traffic, lights: the state of the episode.
        drops: the generator of what weather draws into pictures.
        last_action: steer, throttle, brake of the step before.
        clock: seconds since the episode began.
    """

    def __init__(self, level: Level) -> None:
        self.town = _town()
        self._named = level
        self.conditions = level

    def begin(self, seed: int | None) -> str:
        """Another route, other lights and traffic; the car stands at its begin. Returns the split of the route.

        Seeds of evaluations have routes that no demonstration has.
        """
        rng = np.random.default_rng(seed)
        self.conditions = self._named.of_episode(rng)
        route = random_route(self.town, rng, splits_of(seed))
        (x, y), yaw = route.points[0], float(route.yaws[0])
        self.ego, self.trip = Vehicle(float(x), float(y), yaw), Trip(self.town, route)
        self.lights = TrafficLights(self.town, float(rng.uniform(0, 60)))
        counts = (_CARS, _PEDESTRIANS) if self.conditions.traffic else (0, 0)
        self.traffic = Traffic(self.town, self.lights, rng, *counts, (self.ego.x, self.ego.y, yaw))
        self._pushes = Pushes(np.random.default_rng(rng.integers(1 << 32)), self.conditions.traffic)
        self.drops = np.random.default_rng(rng.integers(1 << 32))
        self.clock = 0.0
        self.last_action = np.zeros(3, np.float32)
        self._look()
        return route.split

    def advance(self, action: Any, elapsed: float = 0.0) -> tuple[float, bool, bool, dict[str, Any]]:
        """A tenth of a second under an action; `elapsed` seconds under the last one come first.

        Returns reward (the share of the route driven by this step), terminated, truncated and info.
        """
        failure = self._move(self.last_action, elapsed) if elapsed > 0 else ""
        self.last_action = np.asarray(action, np.float32).reshape(3)
        failure = failure or self._move(self.last_action, 1 / FRAMES_PER_SECOND)
        self._look()
        return self.trip.judge(self.ego, failure)

    def twin(self) -> Simulation:
        """Another one in the same state, that goes on by itself."""
        shared = (self.town, *self.town.lanes, self.lights, self.trip.route)
        return copy.deepcopy(self, {id(thing): thing for thing in shared})

    @property
    def cross_track_error(self) -> float:
        """Metres from the car to the route."""
        return self.trip.off(self.ego)

    def _move(self, action: npt.NDArray[np.float32], seconds: float) -> str:
        """Everybody moves on; what went wrong, or ""."""
        steer, throttle, brake = (float(v) for v in np.nan_to_num(action))
        parts = max(round(seconds * FRAMES_PER_SECOND * _SUBSTEPS), 1)
        for _ in range(parts):
            push = self._push(seconds / parts) if self.conditions.pushed else 0.0
            self.ego.drive(steer + push, throttle, brake, seconds / parts)
            self.clock += seconds / parts
            self.traffic.step(seconds / parts, self.clock, (self.ego.x, self.ego.y, self.ego.yaw), self.ego.speed)
            if touched := hit(self.ego, self.traffic):
                return f"hit {touched}"
            if self.trip.off_road(self.ego):
                return "left the road"
        return ""

    def _push(self, seconds: float) -> float:
        return self._pushes.steer(seconds, self.cross_track_error, self.trip.free_and_straight(self.ego))

    def _look(self) -> None:
        stop = light_ahead(self.town, self.ego, self.lights, self.clock)
        self.trip.look(self.ego, self.traffic.people, self.traffic.vehicles, stop)
