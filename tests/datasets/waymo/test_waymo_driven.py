"""What our world records in Waymo's form: states in the right axes, cameras where they are said to be, fair raters."""

from __future__ import annotations

import math
import types
from dataclasses import replace

import numpy as np
import pytest

from vla_datasets.seeds import episode_seed
from vla_datasets.waymo.driven.raters import VARIANTS, Tried, grade, rate
from vla_datasets.waymo.driven.rig import calibration, mounts
from vla_datasets.waymo.driven.segments import Recorder, intent_ahead
from vla_datasets.waymo.driven.track import AFTER, BEFORE, Track
from vla_datasets.waymo.jpeg import decode_jpeg, encode_jpeg
from vla_datasets.waymo.names import Camera, Intent
from vla_datasets.worlds.driving.expert import expert
from vla_datasets.worlds.driving.levels import read_level
from vla_datasets.worlds.driving.route import LEFT, RIGHT
from vla_datasets.worlds.driving.scene import Scene
from vla_datasets.worlds.driving.simulation import Simulation
from vla_datasets.worlds.driving.traffic import Car
from vla_datasets.worlds.driving.vehicle import WHEELBASE, Vehicle

PAST_T, FUTURE_T = np.arange(-15, 1) / 4, np.arange(1, 21) / 4


def simulation(level: str = "clear", seed: int = 3, steps: int = 0) -> Simulation:
    found = Simulation(read_level("driving", level))
    found.begin(seed)
    act = expert(found)
    for _ in range(steps):
        found.advance(act())
    return found


def cars(places: np.ndarray, yaws: np.ndarray, speeds: np.ndarray) -> list[Vehicle]:
    """Cars whose rear axles are at places of axes with y to the north, and whose yaws turn to the left."""
    found = []
    for (x, y), yaw, speed in zip(places, yaws, speeds, strict=True):
        ahead = WHEELBASE / 2 * math.cos(yaw), WHEELBASE / 2 * math.sin(yaw)
        found.append(Vehicle(float(x + ahead[0]), -float(y + ahead[1]), -float(yaw), float(speed)))
    return found


@pytest.mark.parametrize(("turn", "heading"), [(0.3, 0.0), (0.3, 2.5), (-0.4, -1.0), (-0.4, 3.1)])
def test_a_circle(turn: float, heading: float) -> None:
    """5 m/s around a circle, to the left where the turn is positive, begun at any heading and place."""
    speed, now = 5.0, 45
    t = np.arange(120) / 10
    yaws = heading + turn * t
    places = [30.0, -20.0] + speed / turn * np.stack([np.sin(yaws), -np.cos(yaws)], axis=1)
    track = Track(cars(places, (yaws + np.pi) % (2 * np.pi) - np.pi, np.full(120, speed)))
    for times, found in ((PAST_T, track.past(now)[:, :2]), (FUTURE_T, track.future(now))):
        wanted = speed / turn * np.stack([np.sin(turn * times), 1 - np.cos(turn * times)], axis=1)
        assert np.abs(found - wanted).max() < 1e-3
    past = track.past(now)
    wanted = speed * np.stack([np.cos(turn * PAST_T), np.sin(turn * PAST_T)], axis=1)
    assert np.abs(past[:, 2:4] - wanted).max() < 5e-3
    half = turn * (PAST_T - 0.05)  # acceleration is that of the last tenth of a second
    wanted = speed * turn * np.stack([-np.sin(half), np.cos(half)], axis=1)
    assert np.abs(past[:, 4:] - wanted).max() < 0.02
    assert past[-1, :2].tolist() == [0.0, 0.0] and past[-1, 5] * turn > 0


def test_brakes() -> None:
    """2 m/s2 from 10 m/s, straight to the north."""
    t = np.arange(100) / 10
    places = np.stack([np.zeros(100), 10 * t - t**2], axis=1)
    track = Track(cars(places, np.full(100, np.pi / 2), 10 - 2 * t))
    v = 10 - 2 * 4.5
    assert np.allclose(track.future(45), np.stack([v * FUTURE_T - FUTURE_T**2, 0 * FUTURE_T], axis=1), atol=1e-5)
    past = track.past(45)
    assert np.allclose(past[:, 0], v * PAST_T - PAST_T**2, atol=1e-5)
    assert np.allclose(past[:, 2], v - 2 * PAST_T, atol=1e-5) and np.allclose(past[:, 4], -2, atol=1e-4)
    assert np.abs(past[:, [1, 3, 5]]).max() < 1e-5
    assert BEFORE == 39 and AFTER == 50
    assert np.allclose(track.past(BEFORE)[0, 0], (10 - 2 * 3.9) * -3.75 - 3.75**2, atol=1e-4)


def test_a_thing_is_seen_by_the_camera_at_the_pixel_that_the_calibration_says() -> None:
    now = simulation()
    width, height = 96, 64
    rig = mounts(tuple(Camera), width, height)
    scene = Scene(now.town, rig)
    empty = [picture.astype(int) for picture in scene.from_car(*moment(now))]
    for aim in (0.0, 20.0, 45.0, -45.0, 90.0, -90.0, 135.0, 180.0, -135.0, -160.0):
        forward, left = 7 * math.cos(math.radians(aim)), 7 * math.sin(math.radians(aim))  # from the rear axle
        ego, (cos, sin) = now.ego, (math.cos(now.ego.yaw), math.sin(now.ego.yaw))
        ahead = forward - WHEELBASE / 2
        place = (ego.x + ahead * cos + left * sin, ego.y + ahead * sin - left * cos, 0.0)
        now.traffic.pedestrians = [types.SimpleNamespace(place=place, color=1)]  # type: ignore[list-item]
        seen = 0
        for mount, picture, before in zip(rig, scene.from_car(*moment(now)), empty, strict=True):
            changed = np.argwhere(np.abs(picture.astype(int) - before).sum(axis=2) > 20)
            found = calibration(mount)
            rays = found.extrinsic[:3, :3].T @ ([forward, left, 0.9] - found.extrinsic[:3, 3])
            u, v = found.intrinsic[2:4] - found.intrinsic[:2] * rays[1:] / rays[0]
            if rays[0] > 0 and 8 < u < width - 8:  # whole in the picture
                assert np.abs(changed.mean(axis=0) - [v, u]).max() < 3, (aim, mount.yaw)
                seen += 1
            elif rays[0] < 0 or not -8 < u < width + 8:
                assert not len(changed), (aim, mount.yaw)
        assert seen >= 1, aim
    scene.close()


def moment(now: Simulation) -> tuple:  # type: ignore[type-arg]
    return now.ego, now.traffic, now.lights, now.clock, now.conditions.weather


def test_the_cameras_are_where_they_are_called() -> None:
    for camera, mount in zip(Camera, mounts(tuple(Camera), 8, 8), strict=True):
        x, y, z = calibration(mount).extrinsic[:3, 0]
        words = camera.key.split("_")
        assert z == pytest.approx(math.sin(math.radians(-4)))
        assert (y > 0.5) == ("left" in words) and (y < -0.5) == ("right" in words)
        assert (x > 0.5) == ("front" in words) and (x < -0.5) == ("rear" in words)
    for mount in mounts(tuple(Camera), 384, 256):
        rotation = calibration(mount).extrinsic[:3, :3]
        assert np.allclose(rotation @ rotation.T, np.eye(3)) and np.linalg.det(rotation) == pytest.approx(1)


def test_frames_of_a_drive() -> None:
    """Against the same drive, played step by step: where its car was, where its route led and what there was to see."""
    cameras = (Camera.FRONT, Camera.REAR)
    recorder = Recorder("clear", cameras, 24, 16)
    frames = list(recorder.segment(0, 5, "train", 4))
    recorder.close()
    now = Simulation(read_level("driving", "clear"))
    assert any(now.begin(episode_seed(0, 5, attempt)) == "train" for attempt in range(99))
    act, ended, places, intents, pictures = expert(now), False, [], [], []
    scene = Scene(now.town, mounts(cameras, 24, 16))
    while not ended:
        seen = scene.from_car(*moment(now)) if len(pictures) % 5 == 0 else []
        pictures.append([encode_jpeg(picture) for picture in seen])
        places.append((now.ego.x, now.ego.y, now.ego.yaw, now.ego.speed))
        intents.append(intent_ahead(now))
        _, ended, _, _ = now.advance(act())
    scene.close()
    for frame in frames:
        at = int(frame.name.rpartition("-")[2])
        x, y, yaw, speed = places[at]
        assert frame.past[-1, 2:4] == pytest.approx([speed, 0], abs=1e-5) and frame.intent == intents[at]
        assert list(frame.images.values()) == pictures[at]
        assert frame.future is not None and frame.rated == () and set(frame.images) == {Camera.FRONT, Camera.REAR}
        for points, ahead in ((frame.future[1::2], range(5, 51, 5)), (frame.past[1::2, :2], range(-35, 1, 5))):
            for point, steps in zip(points, ahead, strict=True):
                other = places[at + steps]
                axle = [c + WHEELBASE / 2 * (math.cos(yaw) - math.cos(other[2])) - x for c in other[:1]]
                axle += [c + WHEELBASE / 2 * (math.sin(yaw) - math.sin(other[2])) - y for c in other[1:2]]
                forward = axle[0] * math.cos(yaw) + axle[1] * math.sin(yaw)
                left = axle[0] * math.sin(yaw) - axle[1] * math.cos(yaw)
                assert point == pytest.approx([forward, left], abs=1e-3)
    assert [frame.name.rpartition("-")[0] for frame in frames] == ["driving-0-000005"] * 4
    assert decode_jpeg(frames[0].images[Camera.REAR], "").shape == (16, 24, 3)
    assert frames[0].images != frames[1].images and len({frame.name for frame in frames}) == 4


def test_intents_come_before_the_turn() -> None:
    now = simulation()
    commands = np.zeros(60, np.int64)
    commands[20:40] = LEFT
    commands[40:50] = RIGHT
    now.trip.route = replace(now.trip.route, commands=commands)
    for place, intent in ((13, "GO_STRAIGHT"), (14, "GO_LEFT"), (39, "GO_LEFT"), (40, "GO_RIGHT"), (50, "GO_STRAIGHT")):
        now.trip.progress = place
        assert intent_ahead(now) is Intent[intent], place


def test_a_twin_goes_the_same_way_and_leaves_the_other_alone() -> None:
    one = simulation("mixed+pushed", 8, 60)
    two, before = one.twin(), state(one)
    act = expert(two)
    actions, went = [], []
    for _ in range(40):
        actions.append(act())
        two.advance(actions[-1])
        went.append(state(two))
    assert state(one) == before != went[-1]
    for action, there in zip(actions, went, strict=True):
        one.advance(action)
        assert state(one) == there


def state(now: Simulation) -> tuple:  # type: ignore[type-arg]
    ego, trip = now.ego, now.trip
    return ego.x, ego.y, ego.yaw, trip.progress, trip.hazard, now.clock, *now.traffic.vehicles, *now.traffic.people


def tried(**values: object) -> Tried:
    good = {"driven": 20.0, "closest": 2.0, "hardest": 1.0, "ignored": False, "crashed": False}
    return Tried(np.zeros((20, 2), np.float32), **{**good, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "score"),
    [
        ({}, 10.0),
        ({"closest": math.inf, "hardest": 3.0}, 10.0),
        ({"closest": 0.5}, 8.0),
        ({"closest": -1.0}, 6.0),
        ({"hardest": 5.5}, 9.0),
        ({"hardest": 50.0}, 8.0),
        ({"driven": 10.0}, 6.5),
        ({"driven": 0.0}, 3.0),
        ({"driven": 30.0}, 10.0),
        ({"ignored": True}, 4.0),
        ({"ignored": True, "closest": 0.0, "hardest": 8.0}, 0.0),
        ({"crashed": True}, 0.0),
    ],
)
def test_grades(values: dict[str, object], score: float) -> None:
    assert grade(tried(**values), 20.0) == pytest.approx(score)
    assert grade(tried(), 0.0) == 10.0  # nobody gets on: nobody is slow


def test_raters() -> None:
    """Before a car that stands in the way: who hurries crashes, who brakes is best."""
    now = simulation("clear", 3, 60)
    lane, along, _ = now.town.nearest(now.ego.x, now.ego.y, now.ego.yaw)
    now.traffic.cars = [Car(lane, along + 11.0, 0.0, 0.0001, 0)]
    before = state(now)
    rated = rate(now)
    assert state(now) == before and 2 <= len(rated) <= 3
    assert [one.score for one in rated] == sorted((one.score for one in rated), reverse=True)
    assert rated[0].score > 7 and rated[-1].score == 0.0
    assert rated[0].points[-1, 0] < 8 and rated[-1].points[-1, 0] > rated[0].points[-1, 0]
    assert all(one.points.shape == (20, 2) and one.points.dtype == np.float32 for one in rated)
    still = simulation("clear", 3)
    lane, along, _ = still.town.nearest(still.ego.x, still.ego.y, still.ego.yaw)
    still.traffic.cars = [Car(lane, along + 8.0, 0.0, 0.0001, 0)]
    assert [one.points[-1, 0] > 1 for one in rate(still)] == [False, True]  # all stand but who hurries: two that differ
    free = rate(simulation("clear", 3, 60))
    assert len(free) == 3 and free[0].points[-1, 0] > 12 and len(VARIANTS) == 5
    for n, one in enumerate(free):
        for other in free[n + 1 :]:
            assert np.linalg.norm(one.points - other.points, axis=1).mean() > 0.5
