"""Other vehicles, which keep to their lanes, and pedestrians on the sidewalks, some of whom cross.

Speeds follow the Intelligent Driver Model (Treiber, Hennecke, Helbing, Physical Review E 62 (2000) 1805). Everything
random comes from the generator of the episode. Not here: the policy's car, how anything looks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vla_datasets.worlds.driving.lanes import Lane, LaneMap, wrapped
from vla_datasets.worlds.driving.lights import STOP_LINE, TrafficLights

__all__ = ["CAR_LENGTH", "CAR_WIDTH", "PEDESTRIAN_RADIUS", "Car", "Pedestrian", "Place", "Traffic"]

CAR_LENGTH, CAR_WIDTH = 4.4, 1.8  # metres
PEDESTRIAN_RADIUS = 0.35
_FASTEST, _BRAKING, _HEADWAY, _STANDSTILL = 1.5, 2.5, 1.2, 3.0  # m/s2, m/s2, s, m of the driver model
_SEEN, _BESIDE = 25.0, 1.9  # metres ahead and to the side that a driver minds
_WALKING = 1.3  # m/s
_CROSSES = 0.012  # a second: how often who walks along a road crosses it
_LOOKS = 1.5  # metres that who crosses looks ahead
_KERB = 1.4  # metres from the lane's edge to who walks
Place = tuple[float, float, float]  # x, y, yaw


@dataclass
class Car:
    """A car on its lane."""

    lane: Lane
    along: float  # metres
    speed: float
    wanted: float  # m/s on a free road
    color: int

    @property
    def place(self) -> Place:
        """x, y, yaw of its middle."""
        return self.lane.at(self.along)


@dataclass
class Pedestrian:
    """Who walks on the sidewalk of a lane, or crosses the road it belongs to."""

    lane: Lane
    along: float
    direction: int  # 1 with the lane, -1 against it
    beside: float  # metres right of the lane's middle
    kerb: float  # where `beside` is on the near sidewalk
    far: float  # and on the far one
    crossing: int  # 0, or the sign of the change of `beside`
    color: int

    @property
    def place(self) -> Place:
        """x, y, yaw."""
        x, y, yaw = self.lane.at(self.along)
        x, y = x - self.beside * math.sin(yaw), y + self.beside * math.cos(yaw)
        turned = math.pi / 2 * self.crossing if self.crossing else 0.0 if self.direction > 0 else math.pi
        return x, y, yaw + turned


class Traffic:
    """All who move but the policy's car."""

    def __init__(
        self,
        town: LaneMap,
        lights: TrafficLights,
        rng: np.random.Generator,
        cars: int,
        pedestrians: int,
        clear_of: Place,
    ) -> None:
        self._town, self._lights, self._rng = town, lights, rng
        roads = [lane for lane in town.lanes if lane.junction < 0 and lane.length > 20]
        self.cars: list[Car] = []
        for _ in range(20 * cars):
            if len(self.cars) == cars:
                break
            lane = roads[int(rng.integers(len(roads)))]
            car = Car(
                lane, float(rng.uniform(5, lane.length - 14)), 2.0, float(rng.uniform(3.0, 4.5)), int(rng.integers(5))
            )
            taken = [c.place for c in self.cars] + [clear_of]
            if all(math.dist(car.place[:2], place[:2]) > 14 for place in taken):
                self.cars.append(car)
        walked = [lane for lane in roads if lane.right < 0]
        self.pedestrians = [self._walker(walked[int(rng.integers(len(walked)))]) for _ in range(pedestrians)]

    @property
    def people(self) -> list[Place]:
        """Where the pedestrians are."""
        return [walker.place for walker in self.pedestrians]

    @property
    def vehicles(self) -> list[Place]:
        """Where the cars' middles are."""
        return [car.place for car in self.cars]

    def _walker(self, lane: Lane) -> Pedestrian:
        rng, across = self._rng, 0
        inner = lane
        while inner.left >= 0:  # to the middle of the road, and as far beyond it
            inner, across = self._town.lanes[inner.left], across + 1
        kerb = lane.width / 2 + _KERB
        far = -(2 * across + 1) * lane.width - lane.width / 2 - _KERB
        along, way = float(rng.uniform(2, lane.length - 2)), int(rng.integers(2)) * 2 - 1
        return Pedestrian(lane, along, way, kerb, kerb, far, 0, int(rng.integers(4)))

    def step(self, seconds: float, clock: float, ego: Place, ego_speed: float) -> None:
        """Move everybody on; cars mind each other, the lights, pedestrians and the policy's car."""
        others = [(car.place, car.speed) for car in self.cars] + [(ego, ego_speed)]
        walkers = [(p.place, 0.0) for p in self.pedestrians if p.crossing]
        accelerations = [self._acceleration(car, n, others, walkers, clock) for n, car in enumerate(self.cars)]
        for car, acceleration in zip(self.cars, accelerations, strict=True):
            car.speed = max(car.speed + acceleration * seconds, 0.0)
            car.along += car.speed * seconds
            if car.along >= car.lane.length:
                car.along -= car.lane.length
                car.lane = self._town.lanes[car.lane.successors[int(self._rng.integers(len(car.lane.successors)))]]
        for walker in self.pedestrians:
            self._walk(walker, seconds, ego, ego_speed)

    def _acceleration(
        self,
        car: Car,
        number: int,
        others: list[tuple[Place, float]],
        walkers: list[tuple[Place, float]],
        clock: float,
    ) -> float:
        gap, closing = math.inf, 0.0
        x, y, yaw = car.place
        for other, (place, speed) in enumerate([*others, *walkers]):
            ahead = (place[0] - x) * math.cos(yaw) + (place[1] - y) * math.sin(yaw)
            beside = -(place[0] - x) * math.sin(yaw) + (place[1] - y) * math.cos(yaw)
            free = ahead - (CAR_LENGTH if other < len(others) else CAR_LENGTH / 2 + PEDESTRIAN_RADIUS)
            if other != number and 0 < ahead < _SEEN and abs(beside) < _BESIDE and free < gap:
                along = speed * math.cos(wrapped(place[2] - yaw))
                gap, closing = free, car.speed - along
        line = car.lane.length - STOP_LINE - CAR_LENGTH / 2 - car.along
        if -1.0 < line < gap and self._lights.must_stop(car.lane, clock):
            gap, closing = line + _STANDSTILL - 0.5, car.speed
        wish = _STANDSTILL + max(car.speed * _HEADWAY + car.speed * closing / (2 * math.sqrt(_FASTEST * _BRAKING)), 0.0)
        brake = (wish / max(gap, 0.1)) ** 2 if math.isfinite(gap) else 0.0
        return max(_FASTEST * (1 - (car.speed / car.wanted) ** 4 - brake), -8.0)

    def _walk(self, walker: Pedestrian, seconds: float, ego: Place, ego_speed: float) -> None:
        """Along the sidewalk and back; across where nobody comes near, and on to the other side."""
        if walker.crossing:
            if self._in_the_way(walker, ego, ego_speed):
                return
            walker.beside += walker.crossing * _WALKING * seconds
            end = walker.far if walker.crossing < 0 else walker.kerb
            if (walker.beside - end) * walker.crossing >= 0:
                walker.beside, walker.crossing = end, 0
            return
        walker.along += walker.direction * _WALKING * seconds
        if not 1.0 < walker.along < walker.lane.length - 1.0:
            walker.along = min(max(walker.along, 1.0), walker.lane.length - 1.0)
            walker.direction = -walker.direction
        if self._rng.random() < _CROSSES * seconds and self._free(walker, ego, ego_speed):
            walker.crossing = -1 if walker.beside > 0 else 1

    def _in_the_way(self, walker: Pedestrian, ego: Place, ego_speed: float) -> bool:
        """Whether a car that moves is where the next steps lead; who waits lets it stop or pass."""
        x, y, yaw = walker.place
        x, y = x + _LOOKS * math.cos(yaw), y + _LOOKS * math.sin(yaw)
        cars = [(ego, ego_speed), *((car.place, car.speed) for car in self.cars)]
        return any(speed > 0.3 and math.dist((x, y), place[:2]) < CAR_LENGTH / 2 + 1.5 for place, speed in cars)

    def _free(self, walker: Pedestrian, ego: Place, ego_speed: float) -> bool:
        """Whether who comes nearest can still stop: nobody steps in front of a car that cannot."""
        x, y, _ = walker.place
        return all(
            math.dist((x, y), place[:2]) > 7.0 + 2.5 * speed
            for place, speed in [(ego, ego_speed), *((car.place, car.speed) for car in self.cars)]
        )
