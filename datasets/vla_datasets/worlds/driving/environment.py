"""The driving world: a route through a town with lights, traffic and weather, seen by a camera in front.

A level is a weather, "clear", "rain", "fog" or "night", with "+traffic" and "+pushed" (`pushes.py`) where it says so.
Success is to come within 5 m of the route's end; the score is the share of it that was driven. Not here: how it looks
(`scene.py`), what is in the way (`hazards.py`).
"""

from __future__ import annotations

import functools
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from vla_datasets.errors import CollectError
from vla_datasets.keys import STATE, TASK, Sample
from vla_datasets.worlds.driving.hazards import hazard, hit
from vla_datasets.worlds.driving.lanes import LaneMap, read_map, wrapped
from vla_datasets.worlds.driving.lights import TrafficLights
from vla_datasets.worlds.driving.opendrive import grid_town
from vla_datasets.worlds.driving.pushes import Pushes
from vla_datasets.worlds.driving.route import SPACING, Route, random_route
from vla_datasets.worlds.driving.scene import Scene
from vla_datasets.worlds.driving.schema import (
    COMMAND,
    COMMANDS,
    CONCEPTS,
    FRAMES_PER_SECOND,
    IMAGE,
    SIZE,
    concept,
)
from vla_datasets.worlds.driving.traffic import Traffic
from vla_datasets.worlds.driving.vehicle import Vehicle
from vla_datasets.worlds.driving.weather import WEATHERS

__all__ = ["Driving"]

_CARS, _PEDESTRIANS = 16, 24  # with traffic
_GOAL, _OFF_ROAD = 5.0, 2.6  # metres: from the end of the route, and beside the middle of the nearest lane
_STUCK_SPEED, _STUCK_STEPS = 0.5, 100  # m/s; with nothing in the way
_NEAR = 15.0  # metres of a concept
_AHEAD = 12  # points of the route in which the car is looked for
_SUBSTEPS = 2  # of traffic, in a frame
TASK_TEXT = "drive along the route"


@functools.cache
def _town() -> LaneMap:
    return read_map(grid_town())


class Driving(gymnasium.Env):  # type: ignore[misc]  # gymnasium is untyped here
    """One level; everything that is random comes from the episode's seed.

    Attributes:
        ego, route, traffic, lights: the state of the episode.
        progress: index of the route's point where the car is.
        hazard: the command of what is in its way, or "".
        last_action: steer, throttle, brake of the step before.
        clock: seconds since the episode began.

    Raises:
        CollectError: there is no such level.
    """

    max_steps = 3000

    def __init__(self, level: str) -> None:
        weather, *more = level.split("+")
        if weather not in WEATHERS or sorted(set(more), reverse=True) != more or not {*more} <= {"traffic", "pushed"}:
            raise CollectError(
                f"Unknown driving level '{level}'; there are {', '.join(WEATHERS)}, each alone or with '+traffic', "
                "'+pushed' or '+traffic+pushed'."
            )
        self.level, self.weather = level, WEATHERS[weather]
        self._busy, self._pushed = "traffic" in more, "pushed" in more
        self.town = _town()
        self._scene = Scene(self.town, SIZE)
        low = np.array([-1, 0, 0], np.float32)
        self.action_space = spaces.Box(low, np.ones(3, np.float32))
        flags = {concept(name): spaces.MultiBinary(1) for name in CONCEPTS}
        self.observation_space = spaces.Dict(
            {
                IMAGE: spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8),
                STATE: spaces.Box(0, 60, (1,), np.float32),
                COMMAND: spaces.Box(0, len(COMMANDS) - 1, (1,), np.int64),
                TASK: spaces.Text(40, charset="abcdefghijklmnopqrstuvwxyz "),
                **flags,
            }
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Sample, dict[str, Any]]:
        """Another route, other lights and traffic; the car stands at its begin."""
        rng = np.random.default_rng(seed)
        self.route: Route = random_route(self.town, rng)
        (x, y), yaw = self.route.points[0], float(self.route.yaws[0])
        self.ego = Vehicle(float(x), float(y), yaw)
        self.lights = TrafficLights(self.town, float(rng.uniform(0, 60)))
        counts = (_CARS, _PEDESTRIANS) if self._busy else (0, 0)
        self.traffic = Traffic(self.town, self.lights, rng, *counts, (self.ego.x, self.ego.y, yaw))
        self._pushes = Pushes(np.random.default_rng(rng.integers(1 << 32)), self._busy)
        self._drops = np.random.default_rng(rng.integers(1 << 32))
        self.progress, self.clock, self.steps, self._still = 0, 0.0, 0, 0
        self.last_action = np.zeros(3, np.float32)
        self._look()
        return self._seen(), {}

    def step(self, action: Any, elapsed: float = 0.0) -> tuple[Sample, float, bool, bool, dict[str, Any]]:
        """A tenth of a second under an action; `elapsed` seconds under the last one come first.

        The reward is the share of the route driven by this step.
        """
        before = self.progress
        failure = self._move(self.last_action, elapsed) if elapsed > 0 else ""
        self.last_action = np.asarray(action, np.float32).reshape(3)
        failure = failure or self._move(self.last_action, 1 / FRAMES_PER_SECOND)
        self.steps += 1
        self._look()
        self._still = self._still + 1 if self.ego.speed < _STUCK_SPEED and not self.hazard else 0
        left = SPACING * (len(self.route.points) - 1 - self.progress)
        success = not failure and left <= _GOAL
        if not failure and self._still > _STUCK_STEPS:
            failure = "stuck"
        late = not (success or failure) and self.steps >= self.max_steps
        score = 1.0 if success else self.progress / (len(self.route.points) - 1)
        info: dict[str, Any] = {"success": success, "score": float(score)}
        if failure or late:
            info["failure"] = failure or "out of steps"
        reward = (self.progress - before) / (len(self.route.points) - 1)
        return self._seen(), float(reward), bool(success or failure), late, info

    @property
    def cross_track_error(self) -> float:
        """Metres from the car to the route."""
        x, y = self.route.points[self.route.nearest(self.ego.x, self.ego.y, self.progress, _AHEAD)]
        return float(np.hypot(x - self.ego.x, y - self.ego.y))

    def render(self) -> npt.NDArray[np.uint8]:
        """The surroundings from above, with the route."""
        return self._scene.from_above(self.ego, self.route)

    def close(self) -> None:
        """Free the renderer's buffers."""
        self._scene.close()

    def _move(self, action: npt.NDArray[np.float32], seconds: float) -> str:
        """Everybody moves on; what went wrong, or ""."""
        steer, throttle, brake = (float(v) for v in np.nan_to_num(action))
        parts = max(round(seconds * FRAMES_PER_SECOND * _SUBSTEPS), 1)
        for _ in range(parts):
            push = self._push(seconds / parts) if self._pushed else 0.0
            self.ego.drive(steer + push, throttle, brake, seconds / parts)
            self.clock += seconds / parts
            self.traffic.step(seconds / parts, self.clock, (self.ego.x, self.ego.y, self.ego.yaw), self.ego.speed)
            if touched := hit(self.ego, self.traffic):
                return f"hit {touched}"
            _, _, beside = self.town.nearest(self.ego.x, self.ego.y)
            if abs(beside) > _OFF_ROAD:
                return "left the road"
        return ""

    def _push(self, seconds: float) -> float:
        part = self.route.yaws[self.progress : self.progress + 10]
        straight = self.ego.speed > 2 and not self.hazard and float(np.abs(wrapped(part - part[0])).max()) < 0.05
        return self._pushes.steer(seconds, self.cross_track_error, straight)

    def _look(self) -> None:
        """Where on the route the car is, and what is in its way."""
        self.progress = self.route.nearest(self.ego.x, self.ego.y, self.progress, _AHEAD)
        self.hazard = hazard(self.town, self.route, self.progress, self.ego, self.traffic, self.lights, self.clock)

    def _seen(self) -> Sample:
        ego = self.ego
        picture = self._scene.from_car(ego, self.traffic, self.lights, self.clock, self.weather)
        command = COMMANDS.index(self.hazard) if self.hazard else int(self.route.commands[self.progress])
        flags = {
            "near_pedestrian": self._near([p.place for p in self.traffic.pedestrians]),
            "env_night": self.weather.night,
            "env_rain": self.weather.rain,
            "near_vehicle": self._near([c.place for c in self.traffic.cars]),
            "near_junction": self._junction_ahead(),
        }
        return {
            IMAGE: self.weather.drawn(picture, self._drops),
            STATE: np.array([ego.speed], np.float32),
            COMMAND: np.array([command]),
            **{concept(name): np.array([flags[name]], np.bool_) for name in CONCEPTS},
            TASK: TASK_TEXT,
        }

    def _near(self, places: list[tuple[float, float, float]]) -> bool:
        """Whether one of the places is near, and in front."""
        ego = self.ego
        forward = np.array([np.cos(ego.yaw), np.sin(ego.yaw)])
        away = [np.array([x - ego.x, y - ego.y]) for x, y, _ in places]
        return any(float(d @ forward) > 0 and float(np.hypot(*d)) < _NEAR for d in away)

    def _junction_ahead(self) -> bool:
        part = self.route.lanes[self.progress : self.progress + round(_NEAR / SPACING)]
        return any(self.town.lanes[int(n)].junction >= 0 for n in np.unique(part))
