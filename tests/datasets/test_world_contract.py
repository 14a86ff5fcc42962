"""What every registered world must offer: equal bytes for equal seeds, an expert, demonstrations that can be read."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest

import vla_datasets.worlds
from vla_datasets.collect import CollectOptions, collect
from vla_datasets.errors import CollectError
from vla_datasets.keys import ACTION, TASK, image, is_pad
from vla_datasets.lerobot.format import BOOKKEEPING
from vla_datasets.lerobot.windows import load_windows
from vla_datasets.worlds.registry import WORLDS, WorldSpec, find_world

IMAGE = image("front")
SLOW = {"aloha", "driving", "pusht_pixels", "rover"}  # worlds that draw pictures
SERVED = {"carla"}  # worlds on a server; tests/datasets/carla_world holds the same against a scripted one
RENDERERS = {"aloha": "mujoco_renderer"}  # fixtures that skip where a world has nothing to draw with
EACH = [
    pytest.param(spec, id=spec.name, marks=[pytest.mark.slow] * (spec.name in SLOW))
    for spec in WORLDS
    if spec.name not in SERVED
]
FOLDERS = sorted(p.parent.name for p in Path(vla_datasets.worlds.__file__).parent.glob("*/environment.py"))


@pytest.fixture(autouse=True)
def _renderer(request: pytest.FixtureRequest) -> None:
    spec = getattr(request.node, "callspec", None) and request.node.callspec.params.get("spec")
    if spec and spec.name in RENDERERS:
        request.getfixturevalue(RENDERERS[spec.name])


def played(spec: WorldSpec, seed: int) -> tuple[list[dict[str, object]], list[object], dict[str, object]]:
    """Observations, actions and the last info of an expert's episode."""
    world = spec.make(spec.levels[0])
    observation, _ = world.reset(seed=seed)
    expert = spec.expert_of(world)
    seen, actions, ended, info = [dict(observation)], [], False, {}
    while not ended:
        assert world.observation_space.contains(observation)
        actions.append(expert())
        assert world.action_space.contains(actions[-1])
        observation, reward, terminated, truncated, info = world.step(actions[-1], elapsed=0.0)
        seen.append(dict(observation))
        ended = terminated or truncated
        assert isinstance(info["success"], bool) and isinstance(info["score"], float) and isinstance(reward, float)
    assert len(actions) <= world.max_steps
    return seen, actions, info


def test_every_folder_is_registered() -> None:
    assert sorted(spec.name for spec in WORLDS) == FOLDERS
    with pytest.raises(CollectError, match="Did you mean 'babyai'"):
        find_world("babyay")


@pytest.mark.parametrize("spec", EACH)
def test_equal_seeds_give_equal_bytes_and_the_expert_succeeds(spec: WorldSpec) -> None:
    for seed in range(2 if spec.name in SLOW else 5):
        (seen, actions, info), (again, same, _) = played(spec, seed), played(spec, seed)
        assert info["success"] and "failure" not in info and np.array_equal(actions, same)
        for one, other in zip(seen, again, strict=True):
            assert one.keys() == other.keys()
            assert all(np.array_equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("spec", EACH)
def test_what_is_done_before_the_first_action_is_an_action(spec: WorldSpec) -> None:
    world, idle = spec.make(spec.levels[0]), spec.frame().idle
    if idle is None:  # it has to be told at once
        return
    world.reset(seed=1)
    assert world.action_space.contains(np.asarray(idle, world.action_space.dtype))
    _, _, terminated, truncated, _ = world.step(idle)
    assert not (terminated or truncated)


def test_a_grid_world_stands_still_meanwhile() -> None:
    world = find_world("babyai").make("GoToObj")
    before, _ = world.reset(seed=1)
    after, *_ = world.step(find_world("babyai").frame().idle)
    assert np.array_equal(before[IMAGE], after[IMAGE])


@pytest.mark.parametrize("spec", EACH)
def test_demonstrations_hold_what_was_seen(spec: WorldSpec, tmp_path: Path) -> None:
    world = spec.make(spec.levels[0])
    assert isinstance(world, gymnasium.Env)
    features = {name: f for name, f in spec.frame().features.items() if name not in BOOKKEEPING}
    observed = world.reset(seed=0)[0].keys() - {TASK}
    assert observed <= features.keys() and ACTION in features
    collect(CollectOptions(spec.name, spec.levels[0], 3, seed=7), tmp_path)
    frames = load_windows(tmp_path, "train", dict.fromkeys((*observed, ACTION), (-1, 0)))
    seeds = [row["seed"] for row in _episodes(tmp_path)]
    number = 0
    for seed in seeds[:2]:
        seen, actions, _ = played(spec, seed)
        for step, (observation, action) in enumerate(zip(seen, actions, strict=False)):
            batch = frames.batch(np.array([number]))
            assert batch[TASK] == [observation[TASK]]
            assert np.array_equal(np.ravel(batch[ACTION][0, 1]), np.ravel(action))
            for key in observed:
                assert np.array_equal(batch[key][0, 1], observation[key])
                assert np.array_equal(batch[key][0, 0], seen[max(step - 1, 0)][key])
                assert batch[is_pad(key)][0].tolist() == [step == 0, False]
            number += 1
    assert number == len(frames)


def _episodes(root: Path) -> list[dict[str, int]]:
    import pyarrow.parquet as pq

    return pq.read_table(next(root.glob("meta/episodes/*/*.parquet"))).to_pylist()
