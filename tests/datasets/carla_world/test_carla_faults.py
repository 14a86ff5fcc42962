"""What goes wrong in an episode: pictures, spawning, collisions; and what is kept of the demonstration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scripted_carla import ScriptedServer

from vla_datasets.demonstrate import demonstrate
from vla_datasets.errors import WorldError
from vla_datasets.keys import ACTION, DONE, STATE
from vla_datasets.worlds.carla.environment import Carla
from vla_datasets.worlds.driving.expert import expert
from vla_datasets.worlds.driving.schema import COMMAND, IMAGE, LOCATION
from vla_datasets.worlds.registry import find_world

Make = Callable[[str], Carla]
SPEC = find_world("carla")


def drive(world: Carla, steps: int) -> tuple[bool, dict[str, Any]]:
    """So many steps of the expert, or to the end."""
    act, ended, info = expert(world), False, {}
    for _ in range(steps):
        _, _, terminated, truncated, info = world.step(act())
        if ended := bool(terminated or truncated):
            break
    return ended, info


def blue(sample: Any) -> int:
    """The frame that a picture is of, of the scripted camera."""
    return int(sample[IMAGE][0, 0, 2])


def test_a_picture_is_of_the_frame_of_its_observation_and_in_rgb(server: ScriptedServer, opened: Make) -> None:
    world = opened("clear")
    sample, _ = world.reset(seed=0)
    assert blue(sample) == server.frame % 256
    picture = sample[IMAGE]
    assert picture.shape == (256, 256, 3) and picture.dtype == np.uint8
    assert (picture[..., 1] == 2).all()  # (0 + 1 + 2 + 3) / 4 = 1.5, half up
    assert picture[:, 0, 0].tolist() == [row // 2 for row in range(256)]  # two rows of the finer picture, each y // 4
    for _ in range(5):
        sample, *_ = world.step(np.array([0, 0.5, 0], np.float32))
        assert blue(sample) == server.frame % 256


def test_late_and_double_pictures_are_not_taken_for_those_of_another_frame(
    server: ScriptedServer, opened: Make
) -> None:
    """A step has two frames; the first one's picture comes after the second one's, or pictures come twice."""
    world = opened("clear")
    world.reset(seed=0)
    first = server.frame + 1
    server.script.late = set(range(first, first + 40, 2))
    server.script.twice = set(range(first, first + 40, 3))
    for _ in range(20):
        sample, *_, info = world.step(np.array([0, 0.5, 0], np.float32))
        assert blue(sample) == server.frame % 256 and "failure" not in info


def test_a_lost_picture_ends_the_episode_which_is_usable_up_to_there(server: ScriptedServer, opened: Make) -> None:
    world = opened("clear")
    world.reset(seed=0)
    server.script.lost = {server.frame + 2 * 60}
    ended, info = drive(world, 100)
    assert ended and info["failure"] == "lost a picture" and world.trip.steps == 60 and info["usable"] == 60
    world.reset(seed=1)  # and the next one goes on
    assert drive(world, 5) == (False, {"success": False, "score": pytest.approx(0, abs=0.05)})


def test_a_camera_that_never_delivers_is_an_error_that_says_so(server: ScriptedServer, opened: Make) -> None:
    world = opened("clear")
    server.script.lost = set(range(10_000))
    with pytest.raises(WorldError, match=r"picture of frame 130 did not come within 0.2 s; none came; .*rendering"):
        world.reset(seed=0)
    server.script.lost = {160}
    with pytest.raises(WorldError, match=r"picture of frame 160 .*the newest that came is of frame 159"):
        world.reset(seed=0)


def test_a_start_that_is_taken_is_replaced_by_another_one(server: ScriptedServer, opened: Make) -> None:
    free = opened("clear")
    free.reset(seed=0)
    server.tries.clear()
    server.script.full = lambda kind, tries: kind == "vehicle.tesla.model3" and tries <= 3
    taken = opened("clear")
    sample, _ = taken.reset(seed=0)
    assert server.tries["vehicle.tesla.model3"] == 4
    assert np.allclose(sample[LOCATION], taken.trip.route.points[0], atol=0.1)
    assert not np.allclose(taken.trip.route.points[0], free.trip.route.points[0])


@pytest.mark.parametrize(
    ("kind", "level", "message"),
    [
        (
            "vehicle.tesla.model3",
            "clear",
            r"vehicle.tesla.model3 could not be spawned at any of 10 starts in .*Town10HD",
        ),
        ("sensor.camera.rgb", "clear", "did not spawn sensor.camera.rgb"),
        ("walker.pedestrian.0001", "clear+traffic", r"only \d+ of 40 pedestrians could be spawned .*400 tries"),
    ],
)
def test_what_cannot_be_spawned_is_named(
    server: ScriptedServer, opened: Make, kind: str, level: str, message: str
) -> None:
    server.script.full = lambda name, tries: name == kind or (name.startswith("walker.") and "walker" in kind)
    world = opened(level)
    with pytest.raises(WorldError, match=message):
        world.reset(seed=0)
    world.close()
    assert not server.actors and not server.settings.synchronous_mode


def test_a_full_town_is_reported_with_the_count(server: ScriptedServer, opened: Make) -> None:
    server.script.full = lambda name, tries: name == "vehicle.audi.tt" or (name.startswith("vehicle.") and tries > 12)
    world = opened("clear+traffic")
    with pytest.raises(WorldError, match=r"only 1\d of 40 vehicles could be spawned"):
        world.reset(seed=0)


def test_a_blueprint_that_the_server_has_not_is_named(server: ScriptedServer, opened: Make) -> None:
    server.script.unknown = {"vehicle.tesla.model3"}
    with pytest.raises(WorldError, match=r"127.0.0.1:2000 knows no 'vehicle.tesla.model3'"):
        opened("clear").reset(seed=0)


@pytest.mark.parametrize(
    ("touched", "named"),
    [("vehicle.audi.tt", "a vehicle"), ("walker.pedestrian.0001", "a pedestrian"), ("static.pole", "something")],
)
def test_the_frames_before_a_collision_are_rolled_back(
    server: ScriptedServer, opened: Make, touched: str, named: str
) -> None:
    """100 steps, the last with a collision in its first tick: 75 are kept, as the earlier system's 50 at 20 Hz."""
    world = opened("clear")
    seen = []
    reset = world.reset

    def hooked(seed: int) -> Any:
        answer = reset(seed=seed)
        seen.append(seed)
        if len(seen) == 1:
            server.script.touches = {server.frame + 2 * 99 + 1: touched}
        return answer

    world.reset = hooked  # type: ignore[method-assign, assignment]
    episode = demonstrate(SPEC, world, 0, 0)
    assert len(seen) == 1 and world.trip.steps == 100
    assert {len(values) for values in episode.columns.values()} == {75}
    assert episode.columns[DONE] == [False] * 74 + [True]
    assert SPEC.frame().features.keys() >= episode.columns.keys()
    places = np.array(episode.columns[LOCATION])
    assert np.hypot(*(places[-1] - [world.ego.x, world.ego.y])) > 2  # far from where it was hit
    # asking again says what it was
    world.reset(seed=seen[0])
    server.script.touches = {server.frame + 1: touched}
    assert drive(world, 1)[1] == {"success": False, "score": 0.0, "failure": f"hit {named}", "usable": 0}


def test_an_early_failure_leaves_no_demonstration(server: ScriptedServer, opened: Make) -> None:
    """74 steps to the collision: 49 would be left, fewer than are worth keeping."""
    world = opened("clear")
    for steps, usable in ((74, 0), (75, 50)):
        world.reset(seed=0)
        server.script.touches = {server.frame + 2 * steps: "vehicle.audi.tt"}
        ended, info = drive(world, 200)
        assert ended and world.trip.steps == steps and info["usable"] == usable


def test_leaving_the_road_is_rolled_back(server: ScriptedServer, opened: Make) -> None:
    world = opened("clear")
    world.reset(seed=0)
    drive(world, 120)
    while "failure" not in (info := world.step(np.array([0.6, 0.5, 0], np.float32))[4]):
        pass
    assert info["failure"] == "left the road" and info["usable"] == world.trip.steps - 25


def test_a_stuck_car_is_no_demonstration_of_standing(server: ScriptedServer, opened: Make) -> None:
    world = opened("clear")
    world.reset(seed=0)
    drive(world, 90)
    assert world.ego.speed > 3
    stopped = None
    while "failure" not in (info := world.step(np.array([0, 0, 1], np.float32))[4]):
        if world.ego.speed < 0.5 and stopped is None:
            stopped = world.trip.steps
    assert info["failure"] == "stuck" and stopped is not None and info["usable"] <= stopped - 20


def test_a_red_light_stops_the_car_and_green_lets_it_go(server: ScriptedServer, opened: Make) -> None:
    world = opened("clear")
    world.reset(seed=0)
    server.script.red = True
    ended, _ = drive(world, 400)
    assert not ended and world.ego.speed == 0 and world.trip.hazard == "stop at red light"
    assert world.trip.progress > 20  # it drove there
    line = min(
        (w.line.transform.location for w in server.lights), key=lambda p: np.hypot(p.x - world.ego.x, p.y - world.ego.y)
    )
    assert 0 < np.hypot(line.x - world.ego.x, line.y - world.ego.y) - 4.7 / 2 < 8.5
    server.script.red = False
    ended, _ = drive(world, 30)
    assert not ended and world.ego.speed > 2 and world.trip.hazard == ""


def test_nonsense_actions_reach_the_car_as_a_control(server: ScriptedServer, opened: Make) -> None:
    world = opened("clear")
    sample, _ = world.reset(seed=0)
    world.step(np.array([np.nan, np.inf, -3], np.float32))
    control = server.ego.controls[-1]
    assert (control.steer, control.throttle, control.brake) == (0, 1, 0)
    world.step(np.array([0.25, 0, 0.5], np.float32), elapsed=0.4)
    last = [(c.steer, c.throttle, c.brake) for c in server.ego.controls[-11:]]
    assert last == [(0, 1, 0)] * 9 + [(0.25, 0, 0.5)] * 2  # 8 ticks of 0.4 s under the old one
    assert sample[STATE].shape == (1,) and ACTION not in sample


def test_commands_come_from_the_route_not_from_what_is_done(server: ScriptedServer, opened: Make) -> None:
    """The first collector of the earlier system named what the controls did: the label leaked into the input."""
    world, seen = opened("clear"), []
    for action in ([-1, 0.3, 0], [1, 0.3, 0], [0, 0, 1]):
        world.reset(seed=0)
        seen.append([world.step(np.array(action, np.float32))[0][COMMAND].item() for _ in range(5)])
    assert seen[0] == seen[1] == seen[2] == world.trip.route.commands[:1].tolist() * 5
