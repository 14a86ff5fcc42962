"""Push-T: the expert's model of contact is pymunk's, its ways stay off the block, and it succeeds on both levels."""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gym_pusht", reason="pip install '.[pusht]' and gym-pusht without its dependencies")

from vla_datasets.errors import CollectError
from vla_datasets.keys import STATE
from vla_datasets.seeds import FIRST_EVALUATION_SEED, episode_seed
from vla_datasets.worlds.pusht import block
from vla_datasets.worlds.pusht.environment import PushT, drawn_goal
from vla_datasets.worlds.pusht.expert import expert
from vla_datasets.worlds.pusht.pushes import pushes, pushes_off_a_wall
from vla_datasets.worlds.pusht.schema import GOAL, KEYPOINTS
from vla_datasets.worlds.pusht.travel import way_around
from vla_datasets.worlds.pusht_pixels.environment import PushTPixels
from vla_datasets.worlds.pusht_pixels.schema import GOAL_IMAGE, IMAGE
from vla_datasets.worlds.world import ExpertError

OUTLINE = [3, 4, 7, 6, 5, 2, 1, 0]  # the corners in order


def put(world: PushT, pose: np.ndarray, pusher: np.ndarray) -> None:
    """The block and the pusher at places, at rest."""
    world.reset(seed=0)
    world.env.block.angle = float(pose[2])  # first: it turns the block around its centre of gravity
    world.env.block.position = tuple(pose[:2])
    world.env.agent.position, world.env.agent.velocity = tuple(pusher), (0, 0)


def played(world: PushT, seed: int) -> dict[str, Any]:
    """The last info of the expert's episode."""
    world.reset(seed=seed)
    act, ended, info = expert(world), False, {}
    while not ended:
        *_, terminated, truncated, info = world.step(act())
        ended = terminated or truncated
    return info


def at(pose: np.ndarray, point: np.ndarray) -> np.ndarray:
    c, s = np.cos(pose[2]), np.sin(pose[2])
    return pose[:2] + np.array([[c, -s], [s, c]]) @ point


@pytest.mark.parametrize("number", range(0, len(block.contacts()), 5))
def test_a_push_moves_the_block_as_pymunk_does(number: int) -> None:
    pose, contact = np.array([250.0, 240.0, 0.7]), block.contacts()[number]
    start, normal = at(pose, contact[:2] + contact[2:] * 16), at(pose, contact[2:]) - pose[:2]
    world = PushT("fixed")
    put(world, pose, start)
    modelled = pose[np.newaxis]
    for step in range(60):
        modelled = block.pushed((start - normal * 0.5 * (step + 1))[np.newaxis], modelled)
    for _ in range(30):  # the spring pulls it there
        world.step(start - normal * 30)
    moved = block.corners(world.block_pose)
    assert np.abs(moved - block.corners(pose)).max() > 5
    assert np.abs(moved - block.corners(modelled[0])).max() < 3.0


def test_keypoints_and_goal_are_gym_pushts() -> None:
    world = PushT("fixed")
    seen, _ = world.reset(seed=4)
    theirs = world.env.get_keypoints(world.env._block_shapes)
    assert np.allclose(seen[KEYPOINTS].reshape(8, 2), theirs, atol=1e-3)
    assert np.allclose(seen[STATE], world.env.agent.position)
    put(world, np.array([256, 256, np.pi / 4]), np.array([50.0, 50.0]))
    *_, info = world.step(np.array([50.0, 50.0]))
    assert info["success"] and info["coverage"] > 0.999  # the block on the goal's pose
    assert np.allclose(block.corners(world.block_pose), seen[GOAL].reshape(8, 2), atol=0.1)


def test_the_distance_to_the_outline_is_that_of_shapely() -> None:
    from shapely import Point, Polygon, box

    shape = Polygon(block.CORNERS[OUTLINE])
    assert shape.equals(box(-60, 0, 60, 30).union(box(-15, 30, 15, 120)))
    points = np.random.default_rng(0).uniform(-150, 200, (300, 2))
    away, normal, on = block.nearest(points)
    outside = np.array([not shape.contains(Point(p)) for p in points])
    assert (~outside).sum() > 5 and np.allclose(away[outside], [shape.distance(Point(p)) for p in points[outside]])
    assert (away[~outside] < 0).all()
    assert np.allclose(on[outside] + normal[outside] * away[outside, np.newaxis], points[outside])


def test_a_way_stays_off_the_block() -> None:
    from shapely import LineString, Polygon

    numbers, found = np.random.default_rng(1), 0
    for _ in range(30):
        pose = np.array([*numbers.uniform(200, 320, 2), numbers.uniform(-3, 3)])
        shape = Polygon(block.corners(pose)[OUTLINE])
        start, end = numbers.uniform(30, 480, (2, 2))
        way = way_around(start, end, pose, 5.0)
        if way is not None:
            found += len(way) > 2
            assert np.array_equal(way[0], start) and np.array_equal(way[-1], end)
            assert LineString(way).distance(shape) >= block.RADIUS + 4.5  # 5, between looks 4 px apart
    assert found >= 5  # some had to go around


def test_pushes_help() -> None:
    goal, pusher = np.array([256, 256, np.pi / 4]), np.array([50.0, 50.0])
    assert pushes(goal, pusher, block.corners(goal)) == []
    found = pushes(goal + np.array([20, 0, 0]), pusher, block.corners(goal))
    assert found and found[0].along[0] < 0  # to the left
    assert all(np.allclose(push.end - push.start, push.along * np.hypot(*(push.end - push.start))) for push in found)
    at_wall = np.array([460.0, 250.0, 0.0])
    assert all(push.along[0] < 0.1 for push in pushes_off_a_wall(at_wall, pusher)[:3])


def test_the_expert_says_when_nothing_helps() -> None:
    world = PushT("fixed")
    world.reset(seed=0)
    put(world, np.array([-500.0, -500.0, 0.0]), np.array([50.0, 50.0]))
    with pytest.raises(ExpertError, match="no push brings"):
        expert(world)()


@pytest.mark.parametrize("seed", [4, 1031, 1081, 1163])
def test_blocks_at_a_wall_and_pushers_in_the_corner_are_freed(seed: int) -> None:
    """Where no push helps, or the way to the best one is closed; in 4 the pusher is between bar and stem."""
    assert played(PushT("fixed"), seed)["success"]


@pytest.mark.parametrize("level", ["fixed", "varied"])
def test_the_expert_succeeds(level: str) -> None:
    world = PushT(level)
    for seed in range(100, 106):
        info = played(world, seed)
        assert info["success"] and info["score"] == 1.0 and info["coverage"] > 0.95


def test_an_episode_ends_without_success_and_keeps_its_best() -> None:
    world = PushT("fixed")
    world.reset(seed=1)
    put(world, np.array([256, 266, np.pi / 4]), np.array([256.0, 400.0]))
    found = []
    for _ in range(300):
        *_, terminated, truncated, info = world.step(np.array([200.0, 0.0]))
        found.append(info["coverage"])
    assert truncated and not terminated and info["failure"] == "out of steps"
    assert info["max_coverage"] == max(found) > found[-1] and info["score"] == pytest.approx(max(found) / 0.95)


def test_goals_are_drawn_by_the_seed() -> None:
    world, other = PushT("varied"), PushT("varied")
    goals = [world.reset(seed=seed)[0][GOAL] for seed in range(4)]
    assert len({goal.tobytes() for goal in goals}) == 4
    assert np.array_equal(goals[2], other.reset(seed=2)[0][GOAL])
    assert np.array_equal(PushT("fixed").reset(seed=2)[0][STATE], other.reset(seed=2)[0][STATE])  # the rest is equal
    with pytest.raises(CollectError, match="Did you mean 'varied'"):
        PushT("varid")


def test_the_world_moves_on_while_a_policy_computes() -> None:
    """A tenth of a second late towards the same place is one step more."""
    late, twice = PushT("fixed"), PushT("fixed")
    for world in (late, twice):
        world.reset(seed=0)
        world.step(np.array([300.0, 300.0]))
    late.step(np.array([100.0, 300.0]), elapsed=0.1)
    twice.step(np.array([300.0, 300.0]))
    twice.step(np.array([100.0, 300.0]))
    assert np.allclose(late.pusher[0], twice.pusher[0]) and np.allclose(late.block_pose, twice.block_pose)


def test_pictures_say_the_goal_where_it_is_not_drawn() -> None:
    green = np.array([144, 238, 144])
    fixed, varied = PushTPixels("fixed"), PushTPixels("varied")
    drawn = [world.reset(seed=3)[0] for world in (fixed, varied)]
    shown = [(np.abs(seen[IMAGE].astype(int) - green).max(axis=-1) < 3).sum() for seen in drawn]
    assert shown[0] > 200 and shown[1] == 0
    one, other = varied.reset(seed=3)[0], varied.reset(seed=4)[0]
    assert not np.array_equal(one[GOAL_IMAGE], other[GOAL_IMAGE])
    dark = one[GOAL_IMAGE].sum(axis=-1) < 500  # the block's colour
    y, x = np.nonzero(dark[2:-2, 2:-2])
    middle = np.array([x.mean(), y.mean()]) + 2.5
    assert np.allclose(middle * 512 / 96, one[GOAL].reshape(8, 2).mean(axis=0), atol=25)
    assert IMAGE not in PushT("fixed").reset(seed=3)[0]


def test_another_goal_s_picture_or_none_to_measure_who_looks_at_it() -> None:
    """The goal itself, by which success is judged, and all else stay."""
    seen = {level: PushTPixels(level).reset(seed=3)[0] for level in ("varied", "varied+shuffled", "varied+blank")}
    right, shuffled, blank = seen.values()
    for other in (shuffled, blank):
        assert all(np.array_equal(right[key], other[key]) for key in (STATE, GOAL, IMAGE))
    dark = [int((found[GOAL_IMAGE][2:-2, 2:-2].sum(axis=-1) < 500).sum()) for found in seen.values()]
    assert dark[0] > 150 and dark[1] > 150 and dark[2] == 0
    assert not np.array_equal(right[GOAL_IMAGE], shuffled[GOAL_IMAGE])
    again = PushTPixels("varied+shuffled")
    assert np.array_equal(again.reset(seed=3)[0][GOAL_IMAGE], shuffled[GOAL_IMAGE])
    assert not np.array_equal(again.reset(seed=4)[0][GOAL_IMAGE], shuffled[GOAL_IMAGE])
    for level in ("fixed+blank", "varied+bright"):
        with pytest.raises(CollectError, match=re.escape(f"'{level}'. Known: fixed, varied, varied+shuffled")):
            PushTPixels(level)


def test_evaluation_has_goals_that_no_demonstration_has() -> None:
    world = PushT("varied")
    shown, asked = (
        np.stack([drawn_goal(2**32, seed) for seed in seeds])
        for seeds in (
            [episode_seed(0, n) for n in range(2000)],
            range(FIRST_EVALUATION_SEED, FIRST_EVALUATION_SEED + 500),
        )
    )
    assert np.array_equal(
        world.reset(seed=FIRST_EVALUATION_SEED)[0][GOAL], block.corners(asked[0]).ravel().astype(np.float32)
    )
    assert np.abs(asked[:, None] - shown).max(axis=-1).min() > 0.01  # px, px and radians: all three equal in none


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gym_pusht.envs.pusht", None)
    with pytest.raises(CollectError, match=r"gym_pusht.*--no-deps gym-pusht==0\.1\.8"):
        PushT("fixed")
