"""Cars, lights, people, hazards and the episode."""

from __future__ import annotations

import math
import sys
import types
from dataclasses import replace

import numpy as np
import pytest

from vla_datasets.demonstrate import demonstrate
from vla_datasets.errors import CollectError
from vla_datasets.keys import STATE
from vla_datasets.seeds import FIRST_EVALUATION_SEED, FIRST_VALIDATION_SEED
from vla_datasets.worlds.driving.environment import Driving
from vla_datasets.worlds.driving.expert import expert
from vla_datasets.worlds.driving.hazards import blocked, gap, hit, light_ahead
from vla_datasets.worlds.driving.lanes import LaneMap, read_map
from vla_datasets.worlds.driving.lights import GREEN, STOP_LINE, TrafficLights
from vla_datasets.worlds.driving.opendrive import grid_town
from vla_datasets.worlds.driving.route import random_route, route_split
from vla_datasets.worlds.driving.schema import COMMAND, COMMANDS, IMAGE, concept
from vla_datasets.worlds.driving.traffic import CAR_LENGTH, Car, Pedestrian, Traffic
from vla_datasets.worlds.driving.trip import Trip
from vla_datasets.worlds.driving.vehicle import WHEELBASE, Vehicle
from vla_datasets.worlds.registry import find_world


@pytest.fixture(scope="module")
def town() -> LaneMap:
    return read_map(grid_town())


def test_a_held_wheel_drives_a_circle() -> None:
    """The rear axle is on a circle of radius wheelbase / tan(angle); speed settles where throttle equals drag."""
    car = Vehicle(0.0, 0.0, 0.0)
    car.drive(0.2, 0.2, 0.0, 30.0)
    assert car.speed == pytest.approx(0.2 * 4.0 / 0.2, rel=0.01)
    places = []
    for _ in range(400):
        car.drive(0.2, 0.2, 0.0, 0.02)
        places.append((car.x - WHEELBASE / 2 * math.cos(car.yaw), car.y - WHEELBASE / 2 * math.sin(car.yaw)))
    rear = np.array(places)
    middle = rear.mean(axis=0) if len(rear) * 0.02 * car.speed > 20 else None
    radius = WHEELBASE / math.tan(math.radians(70) * 0.2)
    a = np.stack([2 * rear[:, 0], 2 * rear[:, 1], np.ones(len(rear))], axis=1)
    x, y, c = np.linalg.lstsq(a, (rear**2).sum(axis=1), rcond=None)[0]
    assert math.sqrt(c + x * x + y * y) == pytest.approx(radius, rel=0.01) and middle is not None
    assert wheel_side(car, (x, y)) > 0  # steer to the right: the middle of the circle is to the right


def wheel_side(car: Vehicle, place: tuple[float, float]) -> float:
    return -(place[0] - car.x) * math.sin(car.yaw) + (place[1] - car.y) * math.cos(car.yaw)


def test_brakes_stop_within_the_distance_of_their_deceleration() -> None:
    car = Vehicle(0.0, 0.0, 0.0, speed=10.0)
    car.drive(0.0, 0.0, 1.0, 5.0)
    # v' = -8 - 0.2 v: v0 / k - a / k^2 ln(1 + k v0 / a)
    assert car.speed == 0 and car.x == pytest.approx(10 / 0.2 - 8 / 0.2**2 * math.log(1 + 0.2 * 10 / 8), abs=0.15)
    car.drive(0.0, 0.0, 1.0, 5.0)
    assert car.speed == 0  # it does not roll back


def test_one_arm_of_a_junction_is_green_at_a_time_and_each_is_once(town: LaneMap) -> None:
    lights = TrafficLights(town, 3.0)
    for junction in {s.junction for s in lights.signals}:
        arms = [s for s in lights.signals if s.junction == junction]
        assert len({s.arm for s in arms}) == len(arms) in (2, 3, 4)
        shown = np.array([[lights.color(s, t) == GREEN for s in arms] for t in np.arange(0, 80, 0.5)])
        assert shown.sum(axis=1).max() == 1 and shown.any(axis=0).all()
    entering = [lane for lane in town.lanes if lane.junction < 0]
    assert all(any(not lights.must_stop(lane, t) for t in range(60)) for lane in entering)
    assert all(any(lights.must_stop(lane, t) for t in range(60)) for lane in entering)
    assert not any(lights.must_stop(lane, 0.0) for lane in town.lanes if lane.junction >= 0)


def test_cars_neither_touch_nor_run_lights(town: LaneMap) -> None:
    lights = TrafficLights(town)
    far = (1e4, 1e4, 0.0)
    for seed in range(3):
        traffic = Traffic(town, lights, np.random.default_rng(seed), 16, 24, far)
        assert len(traffic.cars) == 16
        driven, passed = 0.0, 0
        for step in range(2400):
            clock = step * 0.05
            before = [(car.lane, car.along) for car in traffic.cars]
            traffic.step(0.05, clock, far, 0.0)
            for (lane, along), car in zip(before, traffic.cars, strict=True):
                driven += car.speed * 0.05
                line = lane.length - STOP_LINE - CAR_LENGTH / 2
                signal = lights.signal_of(lane)
                if signal is not None and car.lane is lane and along <= line < car.along:
                    assert lights.color(signal, clock) != "red" or car.speed < 0.3
                    passed += 1
            for number, car in enumerate(traffic.cars):
                x, y, _ = car.place
                assert all(math.dist((x, y), other.place[:2]) > 1.9 for other in traffic.cars[:number])
        assert driven > 16 * 60 and passed > 16  # two minutes: nobody is stuck for good


def stands(town: LaneMap) -> tuple[Vehicle, Traffic]:
    """The car 3 m behind the begin of a route, and traffic that is empty."""
    route = random_route(town, np.random.default_rng(1))
    lights = TrafficLights(town)
    ego = Vehicle(*route.points[3], float(route.yaws[3]))
    return ego, Traffic(town, lights, np.random.default_rng(0), 0, 0, (0, 0, 0))


@pytest.mark.parametrize(
    ("kind", "distance", "beside", "wanted"),
    [
        ("car", 9.0, 0.0, "brake for vehicle"),
        ("car", 20.0, 0.0, ""),
        ("car", 9.0, 3.5, ""),
        ("person", 12.0, 1.5, "brake for pedestrian"),
        ("person", 12.0, 2.5, ""),
        ("person", 20.0, 0.0, ""),
    ],
)
def test_hazards(town: LaneMap, kind: str, distance: float, beside: float, wanted: str) -> None:
    ego, traffic = stands(town)
    route = random_route(town, np.random.default_rng(1))
    lane, along, _ = town.nearest(ego.x, ego.y, ego.yaw)
    assert lane.length - along > 30  # straight on
    if kind == "car":
        car = Car(lane, along + distance, 0.0, 3.0, 0)
        if beside:
            car = Car(town.lanes[lane.left if lane.left >= 0 else lane.right], along + distance, 0.0, 3.0, 0)
        traffic.cars.append(car)
    else:
        traffic.pedestrians.append(Pedestrian(lane, along + distance, 1, beside, 3.0, -9.0, 0, 0))
    lights = TrafficLights(town)
    must_stop = light_ahead(town, ego, lights, 0.0)
    assert blocked(route, 3, traffic.people, traffic.vehicles, must_stop) == wanted
    assert hit(ego, traffic) == ""
    if kind == "car" and not beside:
        traffic.cars[0].along = along + 3.0
        assert hit(ego, traffic) == "a vehicle"
    if kind == "person":
        traffic.pedestrians[0].along, traffic.pedestrians[0].beside = along + 1.0, 1.0
        assert hit(ego, traffic) == "a pedestrian"


def test_levels() -> None:
    for level in ("snow", "clear+", "traffic", "clear+traffic+traffic", "clear+pushed+traffic", ""):
        with pytest.raises(CollectError, match="Unknown driving level"):
            Driving(level)


def test_an_episode_that_fails_says_how() -> None:
    world = Driving("clear")
    world.reset(seed=0)
    for _ in range(200):
        _, _, ended, _, info = world.step(np.array([0.5, 1.0, 0.0], np.float32))
        if ended:
            break
    assert ended and not info["success"] and info["failure"] == "left the road" and 0 <= info["score"] < 0.5
    world.reset(seed=0)
    for _ in range(300):
        _, _, ended, _, info = world.step(np.array([0, 0, 1], np.float32))
        if ended:
            break
    assert ended and info["failure"] == "stuck"
    world.close()


def driven(town: LaneMap, aside: float, from_: int = 0) -> tuple[dict[str, object], list[bool]]:
    """The last info of a drive beside the path (right is positive) from a point on, and where it is off the road."""
    route = random_route(town, np.random.default_rng(2))
    trip, off, info = Trip(town, route), [], {}
    for number, ((x, y), yaw) in enumerate(zip(route.points, route.yaws, strict=True)):
        away = aside if number >= from_ else 0.0
        ego = Vehicle(float(x - away * math.sin(yaw)), float(y + away * math.cos(yaw)), float(yaw), 5.0)
        trip.look(ego, [], [], False)
        off.append(trip.off_road(ego))
        _, ended, _, info = trip.judge(ego, "")
        if ended:
            break
    return info, off


def test_metres_to_who_is_nearest(town: LaneMap) -> None:
    lane = max(town.lanes, key=lambda lane: lane.length)
    x, y, yaw = lane.at(10.0)
    ego, traffic = Vehicle(x, y, yaw), Traffic(town, TrafficLights(town), np.random.default_rng(0), 0, 0, (0, 0, 0))
    assert gap(ego, traffic) == math.inf
    traffic.cars = [Car(lane, 20.0, 0.0, 1.0, 0)]
    assert gap(ego, traffic) == pytest.approx(10.0 - 1.5 - 1.5 - 1.85 / 2 - 1.8 / 2, abs=0.05)
    traffic.pedestrians = [Pedestrian(lane, 10.0, 1, 3.0, 3.0, -3.0, 0, 0)]  # 3 m beside the car's middle
    assert gap(ego, traffic) == pytest.approx(3.0 - 1.85 / 2 - 0.35, abs=0.05)


def test_only_the_route_itself_is_driven(town: LaneMap) -> None:
    """Beside it, in oncoming lanes or in a parallel street, the car gets on no more than if it stood."""
    info, off = driven(town, 0.5)
    assert info == {"success": True, "score": 1.0} and not any(off)
    info, off = driven(town, -7.0, from_=40)  # lanes are 3.5 m wide
    assert not info["success"] and 0 < info["score"] < 0.5 and np.mean(off[45:]) > 0.9  # type: ignore[operator]
    info, _ = driven(town, 60.0, from_=40)
    assert info["failure"] == "left the route" and 0 < info["score"] < 0.5  # type: ignore[operator]


def test_the_end_is_a_place(town: LaneMap) -> None:
    """Whoever is near the last points of the route, and not at its end, has not arrived."""
    route = random_route(town, np.random.default_rng(2))
    trip, (x, y), yaw = Trip(town, route), route.points[-1], float(route.yaws[-1])
    trip.progress = len(route.points) - 1
    for aside, arrived in ((0.0, True), (4.9, True), (5.1, False)):
        ego = Vehicle(float(x - aside * math.sin(yaw)), float(y + aside * math.cos(yaw)), yaw, 5.0)
        assert trip.judge(ego, "")[3]["success"] == arrived


def test_time_that_the_policy_takes_is_lived_through() -> None:
    """The car rolls on under the last action; a late answer is worse than an early one."""
    world = Driving("clear")
    places = []
    for elapsed in (0.0, 1.0):
        world.reset(seed=3)
        act = expert(world)
        for _ in range(30):
            world.step(act())
        world.step(act(), elapsed=elapsed)
        places.append((world.ego.x, world.ego.y, world.clock))
    assert places[1][2] - places[0][2] == pytest.approx(1.0)
    assert math.dist(places[0][:2], places[1][:2]) == pytest.approx(world.ego.speed, rel=0.25)
    world.close()


def test_what_is_seen_and_labelled() -> None:
    seen = {}
    for level in ("clear", "rain", "fog", "night"):
        world = Driving(level)
        sample, _ = world.reset(seed=2)
        seen[level] = sample[IMAGE].astype(float)
        assert sample[concept("env_night")].item() == (level == "night")
        assert sample[concept("env_rain")].item() == (level == "rain")
        assert sample[STATE].item() == 0 and COMMANDS[sample[COMMAND].item()] in COMMANDS[:6]
        assert world.render().shape == (512, 512, 3)
        world.close()
    sky = {level: image[:60].mean(axis=(0, 1)) for level, image in seen.items()}
    assert sky["clear"][2] > sky["clear"][0] + 60  # blue
    assert sky["night"].max() < 40 < sky["rain"].mean() < sky["fog"].mean() + 30
    road = {level: image[200:250, 100:160].mean() for level, image in seen.items()}
    assert road["night"] > 0.5 * road["clear"] and road["clear"] < 110  # asphalt, in the headlights


def test_pushes_leave_the_path_and_the_expert_comes_back() -> None:
    found = {}
    for level in ("clear", "clear+pushed"):
        world = Driving(level)
        world.reset(seed=1)
        act, ended, off, steers = expert(world), False, [], []
        while not ended:
            action = act()
            _, _, terminated, truncated, info = world.step(action)
            off.append(world.cross_track_error)
            steers.append(float(action[0]))
            ended = terminated or truncated
        assert info["success"]
        found[level] = np.array(off), np.array(steers)
        world.close()
    quiet, pushed = found["clear"], found["clear+pushed"]
    assert quiet[0].max() < 0.4 < 0.6 < pushed[0].max() < 2.0
    assert (pushed[0] > 0.6).mean() < 0.1  # and it comes back
    far = pushed[0][:-1] > 0.6
    assert far.any() and np.abs(pushed[1][1:][far]).mean() > 3 * np.abs(quiet[1]).mean()  # by steering


@pytest.mark.slow
@pytest.mark.parametrize("level", ["clear+traffic", "night+traffic"])
def test_the_expert_arrives_and_its_labels_come_true(level: str) -> None:
    world = Driving(level)
    commands: set[int] = set()
    for seed in range(3):
        sample, _ = world.reset(seed=seed)
        act, ended, worst = expert(world), False, 0.0
        while not ended:
            sample, _, terminated, truncated, info = world.step(act())
            commands.add(sample[COMMAND].item())
            worst, ended = max(worst, world.cross_track_error), terminated or truncated
        assert info["success"], info
        assert worst < 1.0
    assert len(commands) >= 6
    world.close()


def test_no_route_is_in_two_splits_or_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots of a split get routes of it, whatever their seeds; evaluated seeds get other routes."""
    spec = find_world("driving")
    world = Driving("clear")
    acts = types.ModuleType("still")
    acts.expert = lambda world: lambda: np.array([0.0, 0.0, 1.0], np.float32)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "still", acts)
    still = replace(spec, expert="still:expert")
    routes: dict[str, list[list[int]]] = {"train": [], "val": [], "test": []}

    def note(split: str) -> None:
        routes[split].append(world.trip.route.lanes.tolist())

    class Done:
        """Ends at once, as a demonstration."""

        level, max_steps, last = "clear", 2, None

        def reset(self, *, seed: int) -> tuple[dict[str, object], dict[str, object]]:
            self.last = world.reset(seed=seed)
            return self.last

        def step(self, action: object, elapsed: float = 0.0) -> tuple[object, float, bool, bool, dict[str, object]]:
            return self.last[0], 0.0, True, False, {"success": True, "score": 1.0}

    for slot in range(12):
        for split in ("train", "val"):
            demonstrate(still, Done(), 0, slot, split)  # type: ignore[arg-type]
            note(split)
    for seed in range(FIRST_EVALUATION_SEED, FIRST_EVALUATION_SEED + 12):
        world.reset(seed=seed)
        note("test")
    for seed in range(FIRST_VALIDATION_SEED, FIRST_VALIDATION_SEED + 12):
        world.reset(seed=seed)
        note("val")
    for split, found in routes.items():
        assert {route_split(lanes, world.town) for lanes in found} == {split}


def test_a_mixed_level_draws_weather_and_traffic_for_each_episode() -> None:
    world = Driving("mixed+pushed")
    drawn = set()
    for seed in range(40):
        seen, _ = world.reset(seed=seed)
        drawn.add((bool(seen[concept("env_night")][0]), bool(seen[concept("env_rain")][0]), bool(world.traffic.cars)))
    assert len(drawn) == 6  # night, rain, neither (clear and fog), each with and without
    first = world.reset(seed=3)[0][IMAGE]
    world.reset(seed=4)
    assert np.array_equal(world.reset(seed=3)[0][IMAGE], first)
    for wrong in ("mixed+traffic", "mixed+pushed+traffic", "mixed+mixed"):
        with pytest.raises(CollectError, match="Unknown driving level"):
            Driving(wrong)
