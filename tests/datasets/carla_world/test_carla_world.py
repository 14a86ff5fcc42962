"""Whole episodes: the contract of a world, demonstrations as they are stored, pushes and recovery."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pyarrow.parquet as pq
import pytest
from scripted_carla import ScriptedServer

import vla_datasets.collect
from vla_datasets.collect import CollectOptions, collect
from vla_datasets.engine import Engine
from vla_datasets.errors import CollectError
from vla_datasets.keys import ACTION, DONE, TASK
from vla_datasets.lerobot.format import BOOKKEEPING
from vla_datasets.lerobot.windows import load_windows
from vla_datasets.seeds import FIRST_EVALUATION_SEED
from vla_datasets.worlds.carla.environment import Carla
from vla_datasets.worlds.driving.expert import expert
from vla_datasets.worlds.driving.schema import COMMAND, COMMANDS, IMAGE, SCHEMA, concept
from vla_datasets.worlds.registry import find_world

Make = Callable[[str], Carla]
Frame = dict[str, Any]


def played(world: Carla, seed: int) -> tuple[list[Frame], list[np.ndarray], Frame, list[float]]:
    """Observations, actions, the last info and the rewards of an expert's episode."""
    sample, _ = world.reset(seed=seed)
    act, seen, actions, rewards, ended, info = expert(world), [dict(sample)], [], [], False, {}
    while not ended:
        assert world.observation_space.contains(sample)
        actions.append(act())
        assert world.action_space.contains(actions[-1])
        sample, reward, terminated, truncated, info = world.step(actions[-1])
        seen.append(dict(sample))
        rewards.append(reward)
        ended = terminated or truncated
    return seen, actions, info, rewards


def test_it_has_the_rows_of_the_driving_world(server: ScriptedServer, opened: Make) -> None:
    world = opened("clear")
    assert isinstance(world, gymnasium.Env) and find_world("carla").frame() is SCHEMA
    sample, info = world.reset(seed=3)
    assert info["split"] in ("train", "val") and world.reset(seed=FIRST_EVALUATION_SEED)[1] == {"split": "test"}
    features = {name for name in SCHEMA.features if name not in BOOKKEEPING}
    assert sample.keys() - {TASK} == features - {ACTION, DONE, "next.reward"}
    assert world.render().shape == (512, 512, 3) and world.render().std() > 10


@pytest.mark.slow
def test_an_episode_from_begin_to_end(server: ScriptedServer, opened: Make) -> None:
    world = opened("clear")
    seen, actions, info, rewards = played(world, 0)
    again, same, _, _ = played(world, 0)
    assert info == {"success": True, "score": 1.0} and np.array_equal(actions, same)
    assert sum(rewards) == pytest.approx(1.0, abs=5.5 / world.trip.route.length)  # it ends 5 m before the end
    for one, other in zip(seen, again, strict=True):
        assert all(np.array_equal(one[key], other[key]) for key in one if key != IMAGE)
    commands = {COMMANDS[np.ravel(sample[COMMAND])[0]] for sample in seen}
    assert {"follow lane"} < commands
    near = np.array([bool(sample[concept("near_junction")]) for sample in seen])
    assert 0.05 < near.mean() < 0.95


@pytest.mark.parametrize(
    ("level", "night", "rain"), [("night", True, False), ("rain", False, True), ("fog", False, False)]
)
def test_labels_of_the_weather(server: ScriptedServer, opened: Make, level: str, night: bool, rain: bool) -> None:
    sample, _ = opened(level).reset(seed=0)
    assert (bool(sample[concept("env_night")]), bool(sample[concept("env_rain")])) == (night, rain)
    assert (server.weather.sun_altitude_angle < 0) == night and (server.weather.precipitation > 50) == rain


def test_others_in_the_way_are_labelled_and_stopped_for(server: ScriptedServer, opened: Make) -> None:
    """A car, then a pedestrian, put onto the route ahead."""
    world = opened("clear+traffic")
    sample, _ = world.reset(seed=0)
    for kind, label, command in (
        ("vehicle.audi.tt", "near_vehicle", "brake for vehicle"),
        ("walker.pedestrian.0001", "near_pedestrian", "brake for pedestrian"),
    ):
        for actor in server.actors:  # all others out of the way
            if actor is not server.ego:
                actor.body.x, actor.body.y = 1e4, 1e4
        for _ in range(3):
            sample, *_ = world.step(np.array([0, 0, 1], np.float32))
        assert not sample[concept(label)].item() and COMMANDS[sample[COMMAND].item()] in COMMANDS[:6]
        other = next(actor for actor in server.actors if actor.type_id == kind and actor is not server.ego)
        other.body.x, other.body.y = world.trip.route.points[world.trip.progress + 11]
        sample, *_ = world.step(np.array([0, 0, 1], np.float32))
        assert sample[concept(label)].item() and COMMANDS[sample[COMMAND].item()] == command
        assert expert(world)()[2] == 1


@pytest.mark.slow
def test_what_is_recorded_under_a_push_is_the_expert_and_the_recovery_is_in_it(
    server: ScriptedServer, opened: Make
) -> None:
    """The label is never the push: the two differ by exactly it. All frames until the car is back are there."""
    world = opened("clear+pushed")
    world.reset(seed=2)
    given = server.ego.controls
    act, ended, off, labels, applied = expert(world), False, [], [], []
    while not ended:
        action, before = act(), len(given)
        _, _, terminated, truncated, info = world.step(action)
        off.append(world.cross_track_error)
        labels.append(float(action[0]))
        applied.append(given[before].steer)
        ended = terminated or truncated
    assert info["success"]
    pushes = np.array(applied) - np.array(labels)
    under = np.abs(pushes) > 1e-3
    assert under.any() and np.allclose(np.abs(pushes[under]), 0.2, atol=1e-6)
    wide = np.array(off) > 0.5
    after = wide & ~under  # recovery
    assert after.sum() >= 3
    assert (
        np.sign(np.array(labels)[1:][under[:-1] & wide[:-1]]).tolist()
        == (-np.sign(pushes[:-1][under[:-1] & wide[:-1]])).tolist()
    )  # against the push


def test_the_autopilot_is_recorded_as_what_it_did_after_the_picture(server: ScriptedServer, opened: Make) -> None:
    world = opened("clear+autopilot")
    act = find_world("carla").expert_of(world)
    world.reset(seed=0)
    mine = len(server.ego.controls)
    for _ in range(5):
        frame = server.frame
        action = act()
        assert np.array_equal(act(), action)  # asked twice
        sample, *_ = world.step(action)
        assert server.frame == frame + 2 and sample[IMAGE][0, 0, 2] == server.frame % 256
        done = [server.manager.control_of(frame + n) for n in (1, 2)]
        assert np.allclose(action, [np.mean([getattr(c, k) for c in done]) for k in ("steer", "throttle", "brake")])
    assert len(server.ego.controls) == mine and server.ego.autopilot == 8000
    (path,) = server.manager.paths
    assert np.allclose([(p.x, p.y) for p in path], world.trip.route.points[::5], atol=1e-4)
    world.step(np.array([0, 0, 1], np.float32))  # a policy's turn
    assert server.ego.autopilot is None and server.ego.controls[-1].brake == 1
    with pytest.raises(CollectError, match="autopilot, which cannot be pushed"):
        opened("clear+pushed+autopilot")


@pytest.mark.slow
def test_demonstrations_hold_what_was_seen(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With several workers asked for: a server is shared by none, so they are played one after the other."""
    monkeypatch.setattr(vla_datasets.collect, "EPISODES_PER_BLOCK", 1)
    assert collect(CollectOptions("carla", "clear", 2, seed=7), tmp_path, Engine(4))
    assert server.frame > 1000  # here, in this process
    assert not server.actors and not server.settings.synchronous_mode
    keys = [*(name for name in SCHEMA.features if name not in BOOKKEEPING), ACTION]
    frames = load_windows(tmp_path, "train", dict.fromkeys(keys, (0,)))
    first = pq.read_table(min(tmp_path.glob("meta/episodes/*/*.parquet"))).to_pylist()[0]
    world = Carla("clear")
    seen, actions, info, _ = played(world, first["seed"])
    world.close()
    assert info["success"] and len(frames) == len(actions) == first["length"]
    for number in range(0, len(frames), 97):
        batch = frames.batch(np.array([number]))
        assert np.array_equal(np.ravel(batch[ACTION]), actions[number])
        for key in seen[number].keys() - {TASK, IMAGE}:
            assert np.array_equal(np.ravel(batch[key]), np.ravel(seen[number][key]))
        assert np.array_equal(batch[IMAGE][0, 0, ..., :2], seen[number][IMAGE][..., :2])  # blue is the frame's number
