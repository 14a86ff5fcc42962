"""Collecting BabyAI demonstrations: equal bytes, resuming, shards, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vla_datasets import collect as module
from vla_datasets.cli import main
from vla_datasets.collect import CollectOptions, collect
from vla_datasets.demonstrate import demonstrate
from vla_datasets.engine import Engine
from vla_datasets.errors import CollectError
from vla_datasets.lerobot.reader import open_dataset
from vla_datasets.seeds import FIRST_EVALUATION_SEED, episode_seed
from vla_datasets.worlds.registry import find_world

OPTIONS = CollectOptions("babyai", "GoToLocal", episodes=10, seed=3)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EPISODES_PER_BLOCK", 4)


def _files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_seeds_depend_on_base_episode_and_attempt_and_stay_below_evaluation() -> None:
    seeds = {episode_seed(b, e, a) for b in range(3) for e in range(50) for a in range(2)}
    assert len(seeds) == 300
    assert max(seeds) < FIRST_EVALUATION_SEED
    assert episode_seed(1, 2, 0) == episode_seed(1, 2, 0)


def test_demonstrations_succeed_and_replay() -> None:
    spec = find_world("babyai")
    world = spec.make("GoToObj")
    episode = demonstrate(spec, world, 0, 0)
    rewards, done = episode.columns["next.reward"], episode.columns["next.done"]
    assert episode.task.startswith("go to") and rewards[-1] > 0 and not any(rewards[:-1])
    assert done == [False] * (episode.length - 1) + [True]
    world.reset(seed=episode.seed)
    for action in episode.columns["action"]:
        _, reward, terminated, _, info = world.step(action)
    assert terminated and info["success"] and reward == info["score"] == pytest.approx(rewards[-1])


def test_the_seed_chooses_one_of_several_levels() -> None:
    spec = find_world("babyai")
    both, alone = spec.make("GoToLocal+PickupLoc"), {name: spec.make(name) for name in ("GoToLocal", "PickupLoc")}
    first = {"go": alone["GoToLocal"], "pick": alone["PickupLoc"]}
    words = []
    for seed in range(24):
        observation, _ = both.reset(seed=seed)
        words.append(observation["task"].split()[0])
        same, _ = first[words[-1]].reset(seed=seed)
        assert same["task"] == observation["task"]
        assert (same["observation.images.front"] == observation["observation.images.front"]).all()
    assert 6 <= words.count("pick") <= 18
    large = spec.make("GoToLocal+GoTo")
    for seed in range(10):
        large.reset(seed=seed)
    assert both.max_steps == 64 and large.max_steps == 64 * 9  # of nine rooms
    assert demonstrate(spec, both, 0, words.index("pick")).columns["next.reward"][-1] > 0
    with pytest.raises(CollectError, match="Unknown BabyAI level 'PickupLok'"):
        spec.make("GoToLocal+PickupLok")


def test_a_stopped_collection_goes_on_and_gives_the_same_bytes(tmp_path: Path) -> None:
    assert collect(OPTIONS, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        collect(OPTIONS, tmp_path / "stopped", progress=_stop_after_first_block())
    blocks = sorted(p.name for p in (tmp_path / "stopped" / ".staging").glob("block-*"))
    assert blocks == ["block-00000.parquet"]
    first = (tmp_path / "stopped" / ".staging" / blocks[0]).stat().st_mtime_ns
    assert not collect(OPTIONS, tmp_path / "stopped", shard=(1, 2))
    assert not collect(OPTIONS, tmp_path / "stopped", shard=(0, 2))
    assert (tmp_path / "stopped" / ".staging" / blocks[0]).stat().st_mtime_ns == first
    assert collect(OPTIONS, tmp_path / "stopped")
    assert _files(tmp_path / "whole") == _files(tmp_path / "stopped")
    assert collect(OPTIONS, tmp_path / "whole")  # complete: nothing to do


def _stop_after_first_block():  # type: ignore[no-untyped-def]
    calls: list[int] = []

    def progress(episodes: int) -> None:
        calls.append(episodes)
        if len(calls) == 2:  # the first call counts what was there before
            raise KeyboardInterrupt

    return progress


def test_split_is_by_episode(tmp_path: Path) -> None:
    collect(OPTIONS, tmp_path)
    dataset = open_dataset(tmp_path)
    assert dataset.split("train") == range(9) and dataset.split("val") == range(9, 10)
    info = json.loads((tmp_path / "meta/info.json").read_text())
    assert info["splits"] == {"train": "0:9", "val": "9:10"} and info["codebase_version"] == "v3.0"
    assert info["features"]["observation.images.front"]["dtype"] == "image"


def test_another_collection_is_not_mixed_in(tmp_path: Path) -> None:
    collect(OPTIONS, tmp_path)
    with pytest.raises(CollectError, match="already holds another collection"):
        collect(CollectOptions("babyai", "GoToLocal", episodes=11, seed=3), tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1", None])
def test_a_damaged_block_is_named(tmp_path: Path, content: bytes | None) -> None:
    assert not collect(OPTIONS, tmp_path, shard=(0, 2))
    block = tmp_path / ".staging" / "block-00000.parquet"
    if content is None:  # of fewer episodes
        block.write_bytes((tmp_path / ".staging" / "block-00002.parquet").read_bytes())
    else:
        block.write_bytes(content)
    with pytest.raises(CollectError, match=r"block-00000.parquet is damaged .*; delete it"):
        collect(OPTIONS, tmp_path)
    block.unlink()
    assert collect(OPTIONS, tmp_path)


@pytest.mark.slow
def test_workers_do_not_change_a_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EPISODES_PER_BLOCK", 100)  # worker processes have the real size
    options = CollectOptions("babyai", "GoToObj", episodes=210, seed=1)
    collect(options, tmp_path / "one", engine=Engine(1))
    collect(options, tmp_path / "two", engine=Engine(2))
    assert _files(tmp_path / "one") == _files(tmp_path / "two")
    assert len(list((tmp_path / "two/data/chunk-000").iterdir())) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--level", "GoToObb"], 1, "Did you mean 'GoToObj'?"),
        (["--workers", "0"], 2, "0 is less than 1"),
        (["--episodes", "1"], 1, "--episodes is 1"),
        (["--seed", "-1"], 1, "--seed is -1"),
        (["--validation-fraction", "1.5"], 1, "--validation-fraction is 1.5"),
        (["--shard", "4/4"], 2, "--shard is '4/4'"),
        (["--bogus"], 2, "unrecognized arguments"),
    ],
)
def test_user_mistakes_are_one_message(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    assert main(["babyai", "--out", str(tmp_path / "set"), *arguments]) == code
    captured = capfd.readouterr()
    assert message in captured.err and "Traceback" not in captured.err
    assert not (tmp_path / "set").exists()


def test_the_level_generator_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["babyai", "--level", "GoToLocal", "--episodes", "4", "--out", str(tmp_path)]) == 0
    assert capfd.readouterr().out.count("\n") == 1
