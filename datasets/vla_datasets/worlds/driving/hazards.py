"""What is in the way of the policy's car: red lights, cars and pedestrians on its path; what is near, and what it hit.

Distances are those of the earlier CARLA system's collector: cars within 8 m, pedestrians within 12 m, 1.8 m to the
side of the path. Not here: what is done about it (`expert.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from vla_datasets.worlds.driving.lanes import LaneMap
from vla_datasets.worlds.driving.lights import STOP_LINE, TrafficLights
from vla_datasets.worlds.driving.route import SPACING, Route
from vla_datasets.worlds.driving.schema import COMMANDS
from vla_datasets.worlds.driving.traffic import CAR_LENGTH, CAR_WIDTH, PEDESTRIAN_RADIUS, Place, Traffic
from vla_datasets.worlds.driving.vehicle import LENGTH, WIDTH, Vehicle

__all__ = ["LIGHT_AHEAD", "LINE_PASSED", "Place", "blocked", "gap", "hit", "light_ahead"]

CAR_AHEAD, PEDESTRIAN_AHEAD, TUBE = 8.0, 12.0, 1.8  # metres from the car's front; to each side
LIGHT_AHEAD, LINE_PASSED = 8.0, -1.5  # metres from the front to a stop line, where one stops for it
_CIRCLES = (-1.5, 0.0, 1.5)  # metres: a car is three circles in a row


def blocked(route: Route, index: int, people: Sequence[Place], cars: Sequence[Place], must_stop: bool) -> str:
    """The command of what is in the way ("" where nothing is), the most urgent first.

    Args:
        route: the way to go.
        index: of the route's point where the car is.
        people: where pedestrians are.
        cars: where the middles of other vehicles are.
        must_stop: whether a light says so.
    """
    front = LENGTH / 2
    if _near_path(route, index, people, front + PEDESTRIAN_AHEAD, TUBE):
        return COMMANDS[8]
    if _near_path(route, index, cars, front + CAR_AHEAD + CAR_LENGTH / 2, TUBE):
        return COMMANDS[7]
    return COMMANDS[6] if must_stop else ""


def light_ahead(town: LaneMap, ego: Vehicle, lights: TrafficLights, clock: float) -> bool:
    """Whether the car is close to a stop line at which its light is not green."""
    lane, along, _ = town.nearest(ego.x, ego.y, ego.yaw)
    line = lane.length - STOP_LINE - along - LENGTH / 2
    return LINE_PASSED < line < LIGHT_AHEAD and lights.must_stop(lane, clock)


def _near_path(route: Route, index: int, places: Sequence[Place], ahead: float, beside: float) -> bool:
    """Whether one of the places is within `beside` metres of the next `ahead` metres of the path."""
    part = route.points[index : index + round(ahead / SPACING) + 1]
    return any(
        abs(x - part[0, 0]) < ahead + 5
        and abs(y - part[0, 1]) < ahead + 5
        and float(min((part[:, 0] - x) ** 2 + (part[:, 1] - y) ** 2)) < beside**2
        for x, y, _ in places
    )


def hit(ego: Vehicle, traffic: Traffic) -> str:
    """What the car touches: "a vehicle", "a pedestrian" or ""."""
    own = _circles(ego.x, ego.y, ego.yaw)
    near = max(LENGTH, CAR_LENGTH) + 1
    for car in traffic.cars:
        x, y, yaw = car.place
        if abs(x - ego.x) < near and abs(y - ego.y) < near:
            reach = (WIDTH + CAR_WIDTH) / 2 * 0.95
            if any(math.dist(a, b) < reach for a in own for b in _circles(x, y, yaw)):
                return "a vehicle"
    for walker in traffic.pedestrians:
        x, y, _ = walker.place
        if any(math.dist(a, (x, y)) < WIDTH / 2 + PEDESTRIAN_RADIUS for a in own):
            return "a pedestrian"
    return ""


def gap(ego: Vehicle, traffic: Traffic) -> float:
    """Metres between the car and who is nearest to it; infinite where nobody is."""
    own = _circles(ego.x, ego.y, ego.yaw)
    cars = [math.dist(a, b) - CAR_WIDTH / 2 for car in traffic.cars for a in own for b in _circles(*car.place)]
    people = [math.dist(a, walker.place[:2]) - PEDESTRIAN_RADIUS for walker in traffic.pedestrians for a in own]
    return min(cars + people, default=math.inf) - WIDTH / 2


def _circles(x: float, y: float, yaw: float) -> list[tuple[float, float]]:
    return [(x + d * math.cos(yaw), y + d * math.sin(yaw)) for d in _CIRCLES]
