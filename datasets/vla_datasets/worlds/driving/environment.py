"""The driving world: a route through a town with lights, traffic and weather, seen by a camera in front.

A level is a weather, "clear", "rain", "fog" or "night", with "+traffic" and "+pushed" (`pushes.py`) where it says so;
"mixed" draws weather and traffic for each episode.
Success is to drive the route to within 5 m of its end; the score is the share of it that was driven. Not here: how it
looks (`scene.py`), what is in the way (`hazards.py`).
"""

from __future__ import annotations

import functools
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from vla_datasets.keys import TASK, Sample
from vla_datasets.worlds.driving.hazards import hit, light_ahead
from vla_datasets.worlds.driving.lanes import LaneMap, read_map
from vla_datasets.worlds.driving.levels import read_level
from vla_datasets.worlds.driving.lights import TrafficLights
from vla_datasets.worlds.driving.opendrive import grid_town
from vla_datasets.worlds.driving.pushes import Pushes
from vla_datasets.worlds.driving.route import random_route, splits_of
from vla_datasets.worlds.driving.scene import Scene
from vla_datasets.worlds.driving.schema import FRAMES_PER_SECOND, IMAGE, SIZE
from vla_datasets.worlds.driving.spaces import action_space, observation_space
from vla_datasets.worlds.driving.traffic import Traffic
from vla_datasets.worlds.driving.trip import MAX_STEPS, TASK_TEXT, Trip
from vla_datasets.worlds.driving.vehicle import Vehicle

__all__ = ["Driving"]

_CARS, _PEDESTRIANS = 16, 24  # with traffic
_SUBSTEPS = 2  # of traffic, in a frame


@functools.cache
def _town() -> LaneMap:
    return read_map(grid_town())


class Driving(gymnasium.Env):  # type: ignore[misc]  # gymnasium is untyped here
    """One level; everything that is random comes from the episode's seed.

    Attributes:
        ego, trip, traffic, lights: the state of the episode.
        last_action: steer, throttle, brake of the step before.
        clock: seconds since the episode began.

    Raises:
        CollectError: there is no such level.
    """

    max_steps = MAX_STEPS

    def __init__(self, level: str) -> None:
        self.level, self._named = level, read_level("driving", level)
        self._level = self._named  # of the episode
        self.town = _town()
        self._scene = Scene(self.town, SIZE)
        self.action_space, self.observation_space = action_space(), observation_space()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Sample, dict[str, Any]]:
        """Another route, other lights and traffic; the car stands at its begin.

        Seeds of evaluations have routes that no demonstration has; `info` names the split of a demonstration's route.
        """
        rng = np.random.default_rng(seed)
        self._level = self._named.of_episode(rng)
        route = random_route(self.town, rng, splits_of(seed))
        (x, y), yaw = route.points[0], float(route.yaws[0])
        self.ego, self.trip = Vehicle(float(x), float(y), yaw), Trip(self.town, route)
        self.lights = TrafficLights(self.town, float(rng.uniform(0, 60)))
        counts = (_CARS, _PEDESTRIANS) if self._level.traffic else (0, 0)
        self.traffic = Traffic(self.town, self.lights, rng, *counts, (self.ego.x, self.ego.y, yaw))
        self._pushes = Pushes(np.random.default_rng(rng.integers(1 << 32)), self._level.traffic)
        self._drops = np.random.default_rng(rng.integers(1 << 32))
        self.clock = 0.0
        self.last_action = np.zeros(3, np.float32)
        self._look()
        return self._seen(), {"split": route.split}

    def step(self, action: Any, elapsed: float = 0.0) -> tuple[Sample, float, bool, bool, dict[str, Any]]:
        """A tenth of a second under an action; `elapsed` seconds under the last one come first.

        The reward is the share of the route driven by this step.
        """
        failure = self._move(self.last_action, elapsed) if elapsed > 0 else ""
        self.last_action = np.asarray(action, np.float32).reshape(3)
        failure = failure or self._move(self.last_action, 1 / FRAMES_PER_SECOND)
        self._look()
        verdict = self.trip.judge(self.ego, failure)
        return self._seen(), *verdict

    @property
    def cross_track_error(self) -> float:
        """Metres from the car to the route."""
        return self.trip.off(self.ego)

    def render(self) -> npt.NDArray[np.uint8]:
        """The surroundings from above, with the route."""
        return self._scene.from_above(self.ego, self.trip.route)

    def close(self) -> None:
        """Free the renderer's buffers."""
        self._scene.close()

    def _move(self, action: npt.NDArray[np.float32], seconds: float) -> str:
        """Everybody moves on; what went wrong, or ""."""
        steer, throttle, brake = (float(v) for v in np.nan_to_num(action))
        parts = max(round(seconds * FRAMES_PER_SECOND * _SUBSTEPS), 1)
        for _ in range(parts):
            push = self._push(seconds / parts) if self._level.pushed else 0.0
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

    def _seen(self) -> Sample:
        weather = self._level.weather
        picture = self._scene.from_car(self.ego, self.traffic, self.lights, self.clock, weather)
        return {
            IMAGE: weather.drawn(picture, self._drops),
            **self.trip.seen(self.ego, weather, self.traffic.people, self.traffic.vehicles),
            TASK: TASK_TEXT,
        }
