"""The driving world on a CARLA server: the same routes, commands, rows and judgement; CARLA's pictures and physics.

A level is one of `driving`, with "+autopilot" where CARLA's drives and "@TOWN" where it is not `DEFAULT_TOWN`. Where
the server is say CARLA_SERVER and CARLA_TIMEOUT (`server.py`). An episode that fails late is a demonstration up to some
seconds before (`usable`).

Equal seeds give equal routes and traffic as far as the server does: its physics and pictures repeat only nearly.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import carla
import gymnasium
import numpy as np
import numpy.typing as npt

from vla_datasets.errors import CollectError, WorldError
from vla_datasets.keys import TASK, Sample
from vla_datasets.worlds.carla.picture import from_above
from vla_datasets.worlds.carla.sensors import Camera, Collisions, LostFrameError
from vla_datasets.worlds.carla.server import TICKS_PER_SECOND, Address, Server
from vla_datasets.worlds.carla.traffic import Lights, Traffic, place_of
from vla_datasets.worlds.carla.weather import parameters
from vla_datasets.worlds.driving.lanes import LaneMap, read_map
from vla_datasets.worlds.driving.levels import read_level
from vla_datasets.worlds.driving.pushes import Pushes
from vla_datasets.worlds.driving.route import random_route, splits_of
from vla_datasets.worlds.driving.schema import FRAMES_PER_SECOND, IMAGE
from vla_datasets.worlds.driving.spaces import action_space, observation_space
from vla_datasets.worlds.driving.trip import MAX_STEPS, STUCK_STEPS, TASK_TEXT, Trip
from vla_datasets.worlds.driving.vehicle import Vehicle

__all__ = ["DEFAULT_TOWN", "Carla"]

DEFAULT_TOWN = "Town10HD_Opt"
_CAR = "vehicle.tesla.model3"
_STARTS = 10  # routes that are tried where something stands on the start
_HEIGHT = 0.5  # metres above the road, where the car is spawned
_WARM_UP = 30  # ticks that the car stands still: it falls, and the light of the camera adapts
_ROLL_BACK, _SHORTEST = 25, 50  # frames before a failure that are no demonstration; frames that are worth keeping
_LOST = "lost a picture"
_AUTOPILOT = "+autopilot"
_PATH_SPACING = 5  # points of the route from one of the autopilot's to the next
Action = npt.NDArray[np.float32]


@functools.lru_cache(maxsize=4)
def _lanes(opendrive: str) -> LaneMap:
    return read_map(opendrive)


class Carla(gymnasium.Env):  # type: ignore[misc]  # gymnasium is untyped here
    """One level on a server; `close` gives the server back.

    Attributes:
        ego, trip, traffic: the state of the episode.
        last_action: steer, throttle, brake of the step before.

    Raises:
        CollectError: there is no such level or town.
        WorldError: the server does not do what it should; says what.
    """

    max_steps = MAX_STEPS

    def __init__(self, level: str) -> None:
        name, _, town = level.partition("@")
        self.level, self._named = level, read_level("carla", name.removesuffix(_AUTOPILOT))
        self._level = self._named  # of the episode
        self.has_autopilot = name.endswith(_AUTOPILOT)
        if self.has_autopilot and self._level.pushed:
            raise CollectError(f"The level '{level}' has an autopilot, which cannot be pushed; leave one of them out.")
        self.action_space, self.observation_space = action_space(), observation_space()
        self._server = Server(Address.of_environment(), town or DEFAULT_TOWN)
        try:
            self._map = self._server.world.get_map()
            self.town, self._lights = _lanes(self._map.to_opendrive()), Lights(self._server.world)
        except BaseException:
            self.close()
            raise

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Sample, dict[str, Any]]:
        """Another route and other traffic; the car stands at its begin.

        Seeds of evaluations have routes that no demonstration has; `info` names the split of a demonstration's route.

        Raises:
            WorldError: there is no room for the car or the traffic, or no picture comes.
        """
        rng = np.random.default_rng(seed)
        world, number = self._server.world, int(rng.integers(1 << 31))
        self._level = self._named.of_episode(rng)
        self._server.clear()
        world.set_weather(parameters(self._level.weather.name))
        world.set_pedestrians_seed(number)
        self._server.manager.set_random_device_seed(number)
        world.reset_all_traffic_lights()
        self._car = self._spawn_car(rng, splits_of(seed))
        self._camera, self._collisions = Camera(self._server, self._car), Collisions(self._server, self._car)
        self.traffic = Traffic(self._server, rng, self._level.traffic, self.ego, self._level.weather.night)
        self._pushes = Pushes(np.random.default_rng(rng.integers(1 << 32)), self._level.traffic)
        self.last_action = np.array([0, 0, 1], np.float32)
        self._driven: tuple[Action, str] | None = None  # the step that the autopilot has driven already
        self._drives_itself = False
        self._frame = self._server.tick()
        self.traffic.start()
        self._move(self.last_action, (_WARM_UP - 1) / TICKS_PER_SECOND)
        self.last_action = np.zeros(3, np.float32)
        self._look()
        try:
            self._picture = self._camera.picture(self._frame)
        except LostFrameError as error:
            raise WorldError(f"{error}; was the server started without rendering?") from error
        return self._seen(), {"split": self.trip.route.split}

    def step(self, action: Any, elapsed: float = 0.0) -> tuple[Sample, float, bool, bool, dict[str, Any]]:
        """A tenth of a second under an action; `elapsed` seconds under the last one come first.

        The reward is the share of the route driven by this step. A failure's `info` has `usable`: the steps that are a
        demonstration, without those that led to it.
        """
        before, self.last_action = self.last_action, np.asarray(action, np.float32).reshape(3)
        if self._driven is not None:
            failure, self._driven = self._driven[1], None
        else:
            self._drive_itself(False)
            failure = self._move(before, elapsed) if elapsed > 0 else ""
            failure = failure or self._move(self.last_action, 1 / FRAMES_PER_SECOND)
        self._look()
        try:
            self._picture = self._camera.picture(self._frame)
        except LostFrameError:
            failure = failure or _LOST
        reward, terminated, truncated, info = self.trip.judge(self.ego, failure)
        if "failure" in info:
            info["usable"] = self._usable(str(info["failure"]))
        return self._seen(), reward, terminated, truncated, info

    def autopilot(self) -> Action:
        """Let CARLA's autopilot drive the step that comes, and say what it did; `step` then only looks.

        It plans within a tick, so that its action is known afterwards only: the mean of its controls.
        """
        if self._driven is None:
            self._drive_itself(True)
            controls, failure = [], ""
            for _ in range(TICKS_PER_SECOND // FRAMES_PER_SECOND):
                failed = self._tick()
                failure = failure or failed
                control = self._car.get_control()
                controls.append([control.steer, control.throttle, control.brake])
            self._driven = np.mean(controls, axis=0, dtype=np.float32), failure
        return self._driven[0]

    @property
    def cross_track_error(self) -> float:
        """Metres from the car to the route."""
        return self.trip.off(self.ego)

    def render(self) -> npt.NDArray[np.uint8]:
        """The surroundings from above, with the route."""
        place = self.ego.x, self.ego.y, self.ego.yaw
        return from_above(self.town, self.trip.route, place, self.traffic.vehicles, self.traffic.people)

    def close(self) -> None:
        """Destroy what was spawned, and leave the server with the settings it had."""
        self._server.close()

    def _spawn_car(self, rng: np.random.Generator, splits: tuple[str, ...]) -> Any:
        blueprint = self._server.blueprint(_CAR, role_name="hero")
        for _ in range(_STARTS):
            self.trip = Trip(self.town, random_route(self.town, rng, splits))
            x, y = (float(v) for v in self.trip.route.points[0])
            road = self._map.get_waypoint(carla.Location(x, y, 0.0)).transform
            yaw = math.degrees(self.trip.route.yaws[0])
            place = carla.Transform(carla.Location(x, y, road.location.z + _HEIGHT), carla.Rotation(yaw=yaw))
            if (car := self._server.spawn(blueprint, [place])) is not None:
                lights = carla.VehicleLightState
                on = lights.Position | lights.LowBeam if self._level.weather.night else lights.NONE
                car.set_light_state(lights(on))
                self.ego = Vehicle(x, y, float(self.trip.route.yaws[0]))  # CARLA knows its place after a tick
                return car
        raise WorldError(
            f"{_CAR} could not be spawned at any of {_STARTS} starts in {self._map.name}, the last at x {x:.1f}, "
            f"y {y:.1f}; destroy what other clients have spawned"
        )

    def _drive_itself(self, on: bool) -> None:
        """Give the car to the traffic manager with its route, or take it back."""
        if on == self._drives_itself:
            return
        self._car.set_autopilot(on, self._server.manager_port)
        self._drives_itself = on
        if on:
            height = self._car.get_transform().location.z
            points = self.trip.route.points[self.trip.progress :: _PATH_SPACING]
            self._server.manager.set_path(self._car, [carla.Location(float(x), float(y), height) for x, y in points])

    def _move(self, action: Action, seconds: float) -> str:
        """Everybody moves on; what went wrong, or ""."""
        steer, throttle, brake = (float(v) for v in np.clip(np.nan_to_num(action), [-1, 0, 0], 1))
        failure = ""
        for _ in range(max(round(seconds * TICKS_PER_SECOND), 1)):
            push = self._push() if self._level.pushed else 0.0
            pushed = min(max(steer + push, -1.0), 1.0)
            self._car.apply_control(carla.VehicleControl(steer=pushed, throttle=throttle, brake=brake))
            failed = self._tick()
            failure = failure or failed
        return failure

    def _tick(self) -> str:
        """One tick; what went wrong in it, or ""."""
        self._frame = self._server.tick()
        self.ego = self._state()
        if touched := self._collisions.touched():
            return f"hit {touched}"
        return "left the road" if self.trip.off_road(self.ego) else ""

    def _push(self) -> float:
        straight = self.trip.free_and_straight(self.ego)
        return self._pushes.steer(1 / TICKS_PER_SECOND, self.cross_track_error, straight)

    def _state(self) -> Vehicle:
        x, y, yaw = place_of(self._car.get_transform())
        velocity = self._car.get_velocity()
        return Vehicle(x, y, yaw, math.hypot(velocity.x, velocity.y, velocity.z))

    def _look(self) -> None:
        stop = self._lights.must_stop(self.ego)
        self.trip.look(self.ego, self.traffic.people, self.traffic.vehicles, stop)

    def _seen(self) -> Sample:
        people, cars = self.traffic.people, self.traffic.vehicles
        return {IMAGE: self._picture, **self.trip.seen(self.ego, self._level.weather, people, cars), TASK: TASK_TEXT}

    def _usable(self, failure: str) -> int:
        before = {"stuck": STUCK_STEPS + _ROLL_BACK, _LOST: 0, "out of steps": 0}.get(failure, _ROLL_BACK)
        left = self.trip.steps - before
        return left if left >= _SHORTEST else 0
