"""ALOHA: gym-aloha's physics, the expert, time, pictures."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_datasets.collect import CollectOptions, collect
from vla_datasets.errors import CollectError
from vla_datasets.keys import ACTION, REWARD, STATE, image
from vla_datasets.lerobot.reader import open_dataset
from vla_datasets.worlds.registry import find_world
from vla_datasets.worlds.world import ExpertError

SPEC = find_world("aloha")
CUBE = "observation.environment_state"


@pytest.fixture(scope="module")
def world() -> Iterator[Any]:
    made = SPEC.make("transfer+state")
    yield made
    made.close()


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """gym-aloha's own environment, which draws nothing."""
    from gym_aloha.env import AlohaEnv
    from gym_aloha.tasks.sim import TransferCubeTask

    monkeypatch.setattr(TransferCubeTask, "get_observation", lambda self, physics: {"qpos": self.get_qpos(physics)})
    monkeypatch.setattr(AlohaEnv, "_format_raw_obs", lambda self, raw: raw["qpos"])
    return AlohaEnv("transfer_cube")


def test_it_is_gym_alohas(world: Any, theirs: Any) -> None:
    """An action lasts two of its steps; the reward is its own."""
    seen, _ = world.reset(seed=5)
    assert np.allclose(seen[STATE], theirs.reset(seed=5)[0], atol=1e-6)
    act, rewards = SPEC.expert_of(world), set()
    for _ in range(110):
        action = act()
        seen, reward, *_ = world.step(action)
        theirs.step(action)
        qpos, wanted, *_ = theirs.step(action)
        assert np.allclose(seen[STATE], qpos, atol=1e-6) and seen[STATE].dtype == np.float32
        assert np.allclose(seen[CUBE], theirs._env.physics.data.qpos[16:], atol=1e-6)
        assert reward == wanted
        rewards.add(reward)
    assert rewards == {0, 2} or rewards == {0, 1, 2}


def test_the_expert_hands_the_cube_over(world: Any) -> None:
    for seed in range(4):
        world.reset(seed=seed)
        act, ended, steps, info = SPEC.expert_of(world), False, 0, {}
        while not ended:
            action = act()
            assert world.action_space.contains(action)
            _, reward, terminated, truncated, info = world.step(action)
            ended, steps = terminated or truncated, steps + 1
        assert info == {"success": True, "score": 1.0} and reward == 4
        assert 128 <= steps <= 160  # RDT leaves out episodes of less than 128
        cube = world.servos.cube
        assert cube[2] > 0.2 and abs(cube[0]) < 0.05  # in the air, between the arms


def test_seeds_place_the_cube(world: Any) -> None:
    places = np.array([world.reset(seed=seed)[0][CUBE] for seed in (*range(20), 0)])
    assert np.array_equal(places[0], places[-1]) and len(np.unique(places, axis=0)) == 20
    assert (places[:, 0] >= 0).all() and (places[:, 0] <= 0.2).all() and np.ptp(places[:, 0]) > 0.1
    assert (places[:, 1] >= 0.4).all() and (places[:, 1] <= 0.6).all() and np.ptp(places[:, 1]) > 0.1


def test_it_goes_on_while_a_policy_computes(world: Any) -> None:
    first, second = np.array(SPEC.frame().idle) + 0.1, np.array(SPEC.frame().idle) - 0.1
    world.reset(seed=0)
    for action in (first, first, first, second):
        waited = world.step(action)[0][STATE]
    world.reset(seed=0)
    world.step(first)
    lived = world.step(second, elapsed=0.08)[0][STATE]
    assert np.array_equal(waited, lived)
    world.reset(seed=0)
    world.step(first)
    assert not np.array_equal(world.step(second)[0][STATE], lived)


def test_standing_still_is_a_failure_and_no_expert_goes_on_from_elsewhere(world: Any) -> None:
    start = world.reset(seed=1)[0][STATE]
    act, info, truncated = SPEC.expert_of(world), {}, False
    for step in range(world.max_steps):
        assert not truncated
        seen, reward, terminated, truncated, info = world.step(SPEC.frame().idle)
        assert reward == 0 and not terminated
        if step == 60:
            assert np.abs(seen[STATE] - start).max() < 0.05
    assert truncated and info["score"] == 0 and "did not touch the cube" in info["failure"]
    world.step(np.array(SPEC.frame().idle) + 1)
    act()  # planned from here
    for _ in range(25):
        world.step(np.array(SPEC.frame().idle) - 1)
    with pytest.raises(ExpertError, match=r"a joint is \d\.\d\d rad from where it was in the rehearsal"):
        act()


def test_grippers_are_between_0_and_1(world: Any) -> None:
    """As gym-aloha counts; its fingers stop at 0.10 and its servos at 0.97."""
    world.reset(seed=1)
    for wanted, found in ((0.0, 0.10), (1.0, 0.97), (0.5, 0.5), (0.0, 0.10)):
        action = np.array(SPEC.frame().idle)
        action[[6, 13]] = wanted
        for _ in range(25):
            seen, *_ = world.step(action)
        assert np.abs(seen[STATE][[6, 13]] - found).max() < 0.01


def test_an_unknown_level() -> None:
    for call in (SPEC.make, SPEC.frame):
        with pytest.raises(CollectError, match=r"Unknown ALOHA level 'transfer-top'. Did you mean 'transfer\+top'"):
            call("transfer-top")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "vla_datasets.worlds.aloha.environment")
    monkeypatch.setitem(sys.modules, "gym_aloha.utils", None)
    with pytest.raises(
        CollectError, match=r"needs the package 'gym_aloha.utils'.*pip install 'vla-toolchain\[envs,aloha"
    ):
        SPEC.make("transfer")


def test_levels_hold_what_they_say(tmp_path: Path) -> None:
    cameras = {"transfer": {"top", "left_wrist", "right_wrist"}, "transfer+top": {"top"}, "transfer+state": set()}
    for level, names in cameras.items():
        features = SPEC.frame(level).features
        images = {name for name, feature in features.items() if feature.dtype == "image"}
        assert images == {image(name) for name in names} and (CUBE in features) == (not names)
    collect(CollectOptions("aloha", "transfer+state", 2), tmp_path)
    dataset = open_dataset(tmp_path)
    assert dataset.info["fps"] == 25 and dataset.feature(CUBE).shape == (7,)
    names = dataset.info["features"][ACTION]["names"]
    assert names == dataset.info["features"][STATE]["names"]
    assert names[0] == "left_arm_joint_0_pos" and names[6] == "left_gripper_open" and names[13] == "right_gripper_open"
    (frames,) = dataset.read_episodes(range(1), {REWARD: dataset.feature(REWARD).arrow_type()})
    assert frames.columns[REWARD][-1] == 4 and max(frames.columns[REWARD][:-1]) < 4


def test_without_a_renderer(tmp_path: Path) -> None:
    """Pictures are refused with what to do; the level without them works."""
    script = "import sys; from vla_datasets.cli import main; sys.exit(main(sys.argv[1:]))"
    for level, code in (("transfer+top", 1), ("transfer+state", 0)):
        command = [sys.executable, "-c", script, "aloha", "--level", level, "--episodes", "2", "--workers", "1"]
        done = subprocess.run(
            [*command, "--out", str(tmp_path / level)],
            env=os.environ | {"MUJOCO_GL": "off"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        if code:
            assert "MuJoCo cannot draw here" in done.stderr and "apt install libegl1" in done.stderr
            assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("mujoco_renderer")
def test_the_camera_above_sees_the_cube_where_it_is() -> None:
    """A pinhole 0.8 m above the table's middle (0, 0.6), 78 degrees high, looking down."""
    world = SPEC.make("transfer+top")
    focal = 48 / np.tan(np.radians(39))
    for seed in range(3):
        picture = world.reset(seed=seed)[0][image("top")].astype(np.float64)
        x, y, z = world.servos.cube[:3]
        redness = np.clip(picture[..., 0] - picture[..., 1], 0, None)
        rows, columns = np.mgrid[:96, :128] + 0.5
        found = [(redness * axis).sum() / redness.sum() for axis in (columns, rows)]
        depth = 0.8 - z - 0.02  # of its top
        wanted = [64 + focal * x / depth, 48 - focal * (y - 0.6) / depth]
        assert np.abs(np.subtract(found, wanted)).max() < 1.0
    assert world.render().shape == (480, 640, 3)
    world.close()


@pytest.mark.usefixtures("mujoco_renderer")
def test_the_right_wrist_sees_the_cube_it_takes(world: Any) -> None:
    from vla_datasets.worlds.aloha.cameras import Cameras

    world.reset(seed=0)
    act = SPEC.expert_of(world)
    for _ in range(85):
        world.step(act())
    seen = Cameras(world.servos.physics, ("left_wrist", "right_wrist"), (96, 128, 3), finer=1).see()
    red = {name: int((picture[..., 0] > picture[..., 1] + 60.0).sum()) for name, picture in seen.items()}
    assert red["right_wrist"] > 40 and red["right_wrist"] > red["left_wrist"]
