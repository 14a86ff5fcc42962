"""A drive along a route, whichever simulation moves the car: where it is, what is in its way, how it went, its labels.

Not here: the simulations (`environment.py`, `vla_datasets.worlds.carla`), what the driver does about it (`expert.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vla_datasets.keys import STATE, Sample
from vla_datasets.worlds.driving.hazards import Place, blocked
from vla_datasets.worlds.driving.lanes import LaneMap, wrapped
from vla_datasets.worlds.driving.route import SPACING, Route
from vla_datasets.worlds.driving.schema import COMMAND, COMMANDS, LOCATION, concept
from vla_datasets.worlds.driving.vehicle import Vehicle
from vla_datasets.worlds.driving.weather import Weather

__all__ = ["MAX_STEPS", "STUCK_STEPS", "TASK_TEXT", "Trip"]

MAX_STEPS, STUCK_STEPS = 3000, 100
_GOAL, _OFF_ROAD = 5.0, 2.6  # metres: from the end of the route, and beside the middle of the nearest lane of the way
_REACHED, _OFF_ROUTE = 5.0, 20.0  # metres from a point that counts as driven, and from the path of one who is lost
_STUCK_SPEED = 0.5  # m/s; with nothing in the way
_NEAR = 15.0  # metres of a concept
_AHEAD = 12  # points of the route in which the car is looked for
_STRAIGHT, _STRAIGHT_POINTS = 0.05, 10  # radians; points of the route
TASK_TEXT = "drive along the route"


class Trip:
    """One episode's drive.

    Attributes:
        route: the way to go.
        progress: index of the route's point where the car is.
        hazard: the command of what is in its way, or "".
        steps: done so far.
    """

    def __init__(self, town: LaneMap, route: Route) -> None:
        self._town, self.route = town, route
        self.progress, self.hazard, self.steps = 0, "", 0
        self._still = self._told = 0

    def look(self, ego: Vehicle, people: Sequence[Place], cars: Sequence[Place], must_stop: bool) -> None:
        """Where on the route the car is now, and what is in its way; `must_stop` for a light.

        A car that is not near its route, in a parallel street say, does not get on.
        """
        nearest = self.route.nearest(ego.x, ego.y, self.progress, _AHEAD)
        if _distance(ego, self.route, nearest) <= _REACHED:
            self.progress = nearest
        self.hazard = blocked(self.route, self.progress, people, cars, must_stop)

    def judge(self, ego: Vehicle, failure: str) -> tuple[float, bool, bool, dict[str, Any]]:
        """Count a step; its reward (the share of the route driven by it), terminated, truncated and info.

        Args:
            failure: what the simulation saw go wrong, or "".
        """
        self.steps += 1
        self._still = self._still + 1 if ego.speed < _STUCK_SPEED and not self.hazard else 0
        last = len(self.route.points) - 1
        there = SPACING * (last - self.progress) <= _GOAL and _distance(ego, self.route, last) <= _GOAL
        success = not failure and there
        if not (failure or success) and self.off(ego) > _OFF_ROUTE:
            failure = "left the route"
        if not (failure or success) and self._still > STUCK_STEPS:
            failure = "stuck"
        late = not (success or failure) and self.steps >= MAX_STEPS
        info: dict[str, Any] = {"success": success, "score": 1.0 if success else float(self.progress / last)}
        if failure or late:
            info["failure"] = failure or "out of steps"
        reward = (self.progress - self._told) / last
        self._told = self.progress
        return float(reward), bool(success or failure), late, info

    def off(self, ego: Vehicle) -> float:
        """Metres from the car to the path."""
        return self.route.off(ego.x, ego.y, self.progress, _AHEAD)

    def off_road(self, ego: Vehicle) -> bool:
        """Whether the car has left the lanes of its direction: oncoming ones are none of them."""
        return abs(self._town.nearest(ego.x, ego.y, ego.yaw)[2]) > _OFF_ROAD

    def free_and_straight(self, ego: Vehicle) -> bool:
        """Whether the car drives on with nothing in its way and no bend ahead."""
        part = self.route.yaws[self.progress : self.progress + _STRAIGHT_POINTS]
        return ego.speed > 2 and not self.hazard and float(np.abs(wrapped(part - part[0])).max()) < _STRAIGHT

    def seen(self, ego: Vehicle, weather: Weather, people: Sequence[Place], cars: Sequence[Place]) -> Sample:
        """What a sample holds beside its picture and its task: speed, place, command and concepts."""
        command = COMMANDS.index(self.hazard) if self.hazard else int(self.route.commands[self.progress])
        flags = {
            "near_pedestrian": _near(ego, people),
            "env_night": weather.night,
            "env_rain": weather.rain,
            "near_vehicle": _near(ego, cars),
            "near_junction": self._junction_ahead(),
        }
        return {
            STATE: np.array([ego.speed], np.float32),
            LOCATION: np.array([ego.x, ego.y], np.float32),
            COMMAND: np.array([command]),
            **{concept(name): np.array([flag], np.bool_) for name, flag in flags.items()},
        }

    def _junction_ahead(self) -> bool:
        part = self.route.lanes[self.progress : self.progress + round(_NEAR / SPACING)]
        return any(self._town.lanes[int(n)].junction >= 0 for n in np.unique(part))


def _distance(ego: Vehicle, route: Route, index: int) -> float:
    x, y = route.points[index]
    return float(np.hypot(ego.x - x, ego.y - y))


def _near(ego: Vehicle, places: Sequence[Place]) -> bool:
    """Whether one of the places is near, and in front."""
    forward = np.array([np.cos(ego.yaw), np.sin(ego.yaw)])
    away = [np.array([x - ego.x, y - ego.y]) for x, y, _ in places]
    return any(float(d @ forward) > 0 and float(np.hypot(*d)) < _NEAR for d in away)
