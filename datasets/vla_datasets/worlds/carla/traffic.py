"""Others on the road of a CARLA server: vehicles that its traffic manager drives, pedestrians, and the lights.

Counts are those of the earlier CARLA system's scenario with traffic. Not here: the policy's car.
"""

from __future__ import annotations

import math
from typing import Any

import carla
import numpy as np

from vla_datasets.errors import WorldError
from vla_datasets.worlds.carla.server import Server
from vla_datasets.worlds.driving.hazards import LIGHT_AHEAD, LINE_PASSED, Place
from vla_datasets.worlds.driving.lanes import wrapped
from vla_datasets.worlds.driving.vehicle import LENGTH, Vehicle

__all__ = ["Lights", "Traffic", "place_of"]

VEHICLES, PEDESTRIANS = 40, 40
_TRIES = 10  # places for each pedestrian
_CLEAR = 10.0  # metres around the policy's car
_GAP = 2.5  # metres that the traffic manager keeps to who drives ahead
_WALKING = (0.9, 1.8)  # m/s
_LINE_WIDTH = 2.5  # metres to each side within which a stop line is the car's own


def place_of(transform: Any) -> Place:
    """x, y and yaw (radians) of a `carla.Transform`."""
    return transform.location.x, transform.location.y, math.radians(transform.rotation.yaw)


class Traffic:
    """Vehicles and pedestrians of an episode.

    Raises:
        WorldError: the town has no room for as many.
    """

    def __init__(self, server: Server, rng: np.random.Generator, busy: bool, ego: Vehicle, night: bool) -> None:
        self._server, self._rng = server, rng
        self._cars: list[Any] = []
        self._walkers: list[Any] = []
        self._controllers: list[Any] = []
        if busy:
            self._spawn_cars(ego, night)
            self._spawn_walkers()

    def start(self) -> None:
        """Let the pedestrians walk; CARLA wants a tick after they were spawned."""
        for controller in self._controllers:
            controller.start()
            if (goal := self._server.world.get_random_location_from_navigation()) is not None:
                controller.go_to_location(goal)
            controller.set_max_speed(float(self._rng.uniform(*_WALKING)))

    @property
    def people(self) -> list[Place]:
        """Where the pedestrians are."""
        return [place_of(walker.get_transform()) for walker in self._walkers]

    @property
    def vehicles(self) -> list[Place]:
        """Where the vehicles' middles are."""
        return [place_of(car.get_transform()) for car in self._cars]

    def _spawn_cars(self, ego: Vehicle, night: bool) -> None:
        library = self._server.world.get_blueprint_library().filter("vehicle.*")
        kinds = sorted((b for b in library if _is_car(b)), key=lambda blueprint: str(blueprint.id))
        places = [
            place
            for place in self._server.world.get_map().get_spawn_points()
            if math.dist(place_of(place)[:2], (ego.x, ego.y)) > _CLEAR
        ]
        manager = self._server.manager
        manager.set_global_distance_to_leading_vehicle(_GAP)
        for index in self._rng.permutation(len(places)):
            if len(self._cars) == VEHICLES or not kinds:
                break
            kind = kinds[int(self._rng.integers(len(kinds)))]
            car = self._server.spawn(kind, [places[index]])
            if car is not None:
                car.set_autopilot(True, self._server.manager_port)
                manager.update_vehicle_lights(car, night)
                self._cars.append(car)
        self._counted("vehicles", len(self._cars), VEHICLES, f"{len(places)} places and {len(kinds)} kinds of cars")

    def _spawn_walkers(self) -> None:
        world = self._server.world
        kinds = sorted(world.get_blueprint_library().filter("walker.pedestrian.*"), key=lambda b: str(b.id))
        mind = self._server.blueprint("controller.ai.walker")
        for _ in range(PEDESTRIANS * _TRIES):
            if len(self._walkers) == PEDESTRIANS or not kinds:
                break
            where = world.get_random_location_from_navigation()
            kind = kinds[int(self._rng.integers(len(kinds)))]
            if where is None or (walker := self._server.spawn(kind, [carla.Transform(where)])) is None:
                continue
            self._walkers.append(walker)
            controller = self._server.spawn(mind, [carla.Transform()], walker)
            if controller is not None:
                self._controllers.append(controller)
        self._counted(
            "pedestrians", len(self._walkers), PEDESTRIANS, f"{PEDESTRIANS * _TRIES} tries and {len(kinds)} kinds"
        )

    def _counted(self, what: str, found: int, wanted: int, of: str) -> None:
        if found < wanted:
            name = self._server.world.get_map().name
            raise WorldError(
                f"only {found} of {wanted} {what} could be spawned in {name} ({of}); destroy what other clients have "
                "spawned, or choose a larger town"
            )


def _is_car(blueprint: Any) -> bool:
    return bool(blueprint.has_attribute("base_type") and blueprint.get_attribute("base_type").as_str() == "car")


class Lights:
    """The stop lines of a town and what their lights show."""

    def __init__(self, world: Any) -> None:
        self._lines = [
            (place_of(waypoint.transform), light)
            for light in world.get_actors().filter("traffic.traffic_light*")
            for waypoint in light.get_stop_waypoints()
        ]

    def must_stop(self, ego: Vehicle) -> bool:
        """Whether a line of the car's own lane is close in front of it, whose light is red or yellow."""
        return any(
            _ahead(ego, line) and light.get_state() in (carla.TrafficLightState.Red, carla.TrafficLightState.Yellow)
            for line, light in self._lines
        )


def _ahead(ego: Vehicle, line: Place) -> bool:
    """By the line's own direction: how far the car's front is from it, and how far beside it."""
    x, y, yaw = line
    if abs(wrapped(yaw - ego.yaw)) > math.pi / 4:
        return False
    front = LENGTH / 2
    along = (x - ego.x) * math.cos(yaw) + (y - ego.y) * math.sin(yaw) - front
    beside = -(x - ego.x) * math.sin(yaw) + (y - ego.y) * math.cos(yaw)
    return LINE_PASSED < along < LIGHT_AHEAD and abs(beside) < _LINE_WIDTH
