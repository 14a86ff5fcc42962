"""DAgger: labels are the expert's at the learner's states, what was done is kept, rounds go on where they stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_datasets.keys import ACTION, EXECUTED
from vla_datasets.lerobot.reader import open_dataset
from vla_datasets.lerobot.windows import load_windows
from vla_datasets.worlds.registry import find_world
from vla_training.cli import main
from vla_training.dagger.aggregate import aggregate
from vla_training.dagger.rollouts import Rollouts, labelled_features, roll_out

BABYAI = find_world("babyai")
BOOK = {name: feature.arrow_type() for name, feature in labelled_features(BABYAI, BABYAI.levels[0]).items()}


def rollouts(run: Path, **changed: Any) -> Rollouts:
    return dataclasses.replace(Rollouts("babyai", "GoToObj", run, 0, 1, 5, 0.3, 6), **changed)


def made(run: Path, data: Path, folder: Path, **changed: Any) -> Path:
    """The aggregated set of a round."""
    asked = rollouts(run, **changed)
    aggregate(data, roll_out(asked, folder / "blocks"), asked, folder / "data")
    return folder / "data"


def columns(data: Path, episode: int) -> tuple[int, list[int], list[int]]:
    """Seed, labels and what was done."""
    dataset = open_dataset(data)
    (stored,) = dataset.read_episodes(range(episode, episode + 1), BOOK)
    return dataset.seeds()[episode], stored.columns[ACTION], stored.columns[EXECUTED]


def test_a_label_is_what_the_bot_wants_at_the_learners_state(run: Path, data: Path, tmp_path: Path) -> None:
    from minigrid.utils.baby_ai_bot import BabyAIBot

    found = made(run, data, tmp_path)
    base, whole = open_dataset(data), open_dataset(found)
    first = len(base.split("train"))
    assert whole.split("train") == range(first + 5) and len(whole.split("val")) == len(base.split("val"))
    others = 0
    for episode in range(first, first + 5):
        seed, labels, done = columns(found, episode)
        assert 1 <= len(labels) <= 6
        with contextlib.closing(BABYAI.make("GoToObj")) as world:
            world.reset(seed=seed)
            bot, last = BabyAIBot(world.grid), None
            for label, action in zip(labels, done, strict=True):
                assert label == int(bot.replan(last))
                world.step(last := action)
        others += sum(label != action for label, action in zip(labels, done, strict=True))
    assert others > 3  # a learner of two steps knows nothing


def test_the_schedule_says_who_acts(run: Path, data: Path, tmp_path: Path) -> None:
    expert = made(run, data, tmp_path / "expert", beta=1.0)
    learner = made(run, data, tmp_path / "learner", beta=0.0)
    first = len(open_dataset(data).split("train"))
    for episode in range(first, first + 5):
        seed, labels, done = columns(expert, episode)
        assert labels == done
        other, _, acted = columns(learner, episode)
        assert other == seed and acted != done


def test_demonstrations_stay_as_they_are(run: Path, data: Path, tmp_path: Path) -> None:
    """To learn from first, held out last; done is what was wanted; also when a round comes on top of a round."""
    once = made(run, data, tmp_path / "one")
    twice = made(run, once, tmp_path / "two", number=2)
    base, whole = open_dataset(data), open_dataset(twice)
    assert len(whole.split("train")) == len(base.split("train")) + 10
    plain = {name: kind for name, kind in BOOK.items() if name != EXECUTED and "index" not in name}
    for split in ("train", "val"):
        ours = whole.read_episodes(whole.split(split), {**plain, EXECUTED: BOOK[EXECUTED]})
        for one, other in zip(base.read_episodes(base.split(split), plain), ours, strict=False):
            done = dict(other.columns).pop(EXECUTED)
            assert done == one.columns[ACTION] and one.task == other.task
            assert all(values == other.columns[name] for name, values in one.columns.items())
    first = len(base.split("train"))
    assert columns(once, first) == columns(twice, first) != columns(twice, first + 5)


def test_the_action_before_is_the_one_that_was_done(run: Path, data: Path, tmp_path: Path) -> None:
    found = made(run, data, tmp_path, beta=0.0)
    frames = load_windows(found, "train", {ACTION: (-1, 0)})
    length = sum(int(e["length"]) for e in open_dataset(data).episodes[: len(open_dataset(data).split("train"))])
    _, labels, done = columns(found, len(open_dataset(data).split("train")))
    batch = frames.batch(np.arange(length, length + len(labels)))[ACTION][..., 0]
    assert labels[:-1] != done[:-1]
    assert batch[:, 1].tolist() == labels and batch[1:, 0].tolist() == done[:-1]


def test_the_learner_hears_what_was_done_in_its_place(run: Path) -> None:
    from vla_training.evaluate.backends import RunnerSpec
    from vla_training.evaluate.runners import network_runner

    runner = network_runner(RunnerSpec("float", run))
    seen: list[Any] = []
    runner.watch = lambda inputs: seen.append(inputs["previous_action"][0])
    with contextlib.closing(BABYAI.make("GoToObj")) as world:
        observation, _ = world.reset(seed=1)
        runner.reset(0, observation["task"], 1)
        runner.act({0: observation})
        runner.correct(0, 5)
        runner.act({0: observation})
    assert not seen[0].any() and seen[1].tolist() == [0, 0, 0, 0, 0, 1, 0]


def test_rounds_that_were_stopped_end_with_the_same_bytes(data: Path, tmp_path: Path) -> None:
    command = ["dagger", "--config", "debug", "--data", str(data), "--rounds", "2", "--rollouts", "3"]
    command += ["--most-steps", "4", "--workers", "1", "--validate-every", "2", "--save-every", "2"]
    assert main([*command, "--out", str(tmp_path / "whole")]) == 0
    assert main([*command, "--out", str(tmp_path / "parts")]) == 0
    last = "run/checkpoints/000002/pretrained_model/model.safetensors"
    before = (tmp_path / "parts/round-2" / last).read_bytes()
    for name in ("round-2/run/checkpoints/last", "round-2/round.json"):  # as if it had stopped in the second round
        (tmp_path / "parts" / name).unlink()
    (tmp_path / "parts/round-2" / last).write_bytes(b"cut short")
    assert main([*command, "--out", str(tmp_path / "parts")]) == 0
    for number in (1, 2):
        one, other = (tmp_path / name / f"round-{number}" for name in ("whole", "parts"))
        assert (one / last).read_bytes() == (other / last).read_bytes()
        assert (one / "data/meta/info.json").read_bytes() == (other / "data/meta/info.json").read_bytes()
    assert (tmp_path / "parts/round-2" / last).read_bytes() == before
    first, second = (json.loads((tmp_path / f"whole/round-{n}/round.json").read_text()) for n in (1, 2))
    assert first["beta"] == 0.5 and second["beta"] == 0.25 and first["episodes"] == second["episodes"] == 3
    assert second["frames_to_learn"] == first["frames_to_learn"] + second["frames"]


def test_rounds_of_another_kind_are_refused(
    run: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["dagger", "--config", "debug", "--data", str(data), "--policy", str(run), "--out", str(tmp_path)]
    command += ["--rounds", "1", "--rollouts", "2", "--most-steps", "2", "--workers", "1"]
    assert main(command) == 0
    assert not (tmp_path / "round-0").exists()  # a policy was given
    assert main([*command, "--beta", "0.25", "--steps", "3"]) == 1
    said = capfd.readouterr().err
    assert "'options.beta' is 0.5, now 0.25" in said and "'train.steps' is 2, now 3" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--beta", "1.5"], "'beta' is 1.5"),
        (["--rounds", "0"], "'rounds' is 0"),
        (["--rollouts", "0"], "'episodes' is 0"),
    ],
)
def test_bad_options_are_refused(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    command = ["dagger", "--config", "debug", "--data", str(data), "--out", str(tmp_path / "out"), *options]
    assert main(command) == 1 and message in capfd.readouterr().err


def test_more_rounds_go_on_behind_those_that_are_done(run: Path, data: Path, tmp_path: Path) -> None:
    command = ["dagger", "--config", "debug", "--data", str(data), "--policy", str(run), "--out", str(tmp_path)]
    command += ["--rollouts", "2", "--most-steps", "2", "--workers", "1"]
    assert main([*command, "--rounds", "1"]) == 0
    first = (tmp_path / "round-1/round.json").stat().st_mtime_ns
    assert main([*command, "--rounds", "2"]) == 0
    assert (tmp_path / "round-1/round.json").stat().st_mtime_ns == first
    assert (tmp_path / "round-2/run/checkpoints/last").exists()


def test_the_folder_of_the_rounds_may_be_named_from_elsewhere(
    run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a round goes on from is the same policy, however it is named."""
    options = ["--config", "debug", "--data", str(data), "--rollouts", "2", "--most-steps", "2", "--workers", "1"]
    (tmp_path / "here").symlink_to(run)
    (tmp_path / "deeper").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["dagger", *options, "--policy", "here", "--out", "out", "--rounds", "2"]) == 0
    monkeypatch.chdir(tmp_path / "deeper")
    assert main(["dagger", *options, "--policy", str(run), "--out", "../out", "--rounds", "2"]) == 0


def test_what_a_round_cannot_learn_from_is_refused_before_it_is_played(
    run: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """And nothing is claimed: the corrected command runs in the same folder."""
    out = tmp_path / "out"
    other = tmp_path / "other"
    shutil.copytree(data, other)
    info = json.loads((other / "meta/info.json").read_text())
    info["collection"]["level"] = "GoToLocal"
    (other / "meta/info.json").write_text(json.dumps(info))
    whole = tmp_path / "whole"
    shutil.copytree(data, whole)
    info = json.loads((whole / "meta/info.json").read_text())
    info["splits"].pop("val")
    (whole / "meta/info.json").write_text(json.dumps(info))
    played = ["--rounds", "1", "--rollouts", "2", "--most-steps", "2", "--workers", "1"]
    for options, message in [
        (["--data", str(other), "--policy", str(run)], "was collected with 'GoToLocal'; give --level GoToLocal"),
        (["--data", str(whole), "--policy", str(run)], "no split 'val'"),
        (["--data", str(tmp_path / "none"), "--policy", str(run)], "not a LeRobot data set"),
        (["--data", str(data), "--policy", str(tmp_path / "none")], "holds no saved policy"),
        (["--data", str(data), "--policy", str(run), "--level", "GoToObi"], "Unknown BabyAI level 'GoToObi'"),
        (["--data", str(data), "--policy", str(run), "--policy-options.hidden", "24"], "'policy_options.hidden' is 24"),
        (
            ["--data", str(data), "--config", "goto_local_film", "--level", "GoToObj", "--policy", str(run)],
            "a policy 'babyai_cnn'",
        ),
    ]:
        assert main(["dagger", "--config", "debug", *options, "--out", str(out), *played]) == 1
        assert message in capfd.readouterr().err
        assert not list(out.glob("*.json")) and not list(out.glob("round-*"))
    assert (
        main(["dagger", "--config", "debug", "--data", str(data), "--policy", str(run), "--out", str(out), *played])
        == 0
    )


def test_another_policy_of_the_same_name_is_another_one(
    run: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run / "checkpoints/last/pretrained_model", tmp_path / "policy")
    command = ["dagger", "--config", "debug", "--data", str(data), "--policy", str(tmp_path / "policy")]
    command += [
        "--out",
        str(tmp_path / "out"),
        "--rounds",
        "1",
        "--rollouts",
        "2",
        "--most-steps",
        "2",
        "--workers",
        "1",
    ]
    assert main(command) == 0
    shutil.rmtree(tmp_path / "policy")
    shutil.copytree(tmp_path / "out/round-1/run/checkpoints/last/pretrained_model", tmp_path / "policy")
    assert main(command) == 1 and "rounds of another kind: 'policy' is" in capfd.readouterr().err


@pytest.mark.parametrize("text", ["null", "[]", '{"options": 3}', "{", "\udcff"])
def test_damaged_notes_are_named(
    run: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "dagger.json").write_text(text, errors="surrogateescape")
    command = ["dagger", "--config", "debug", "--data", str(data), "--policy", str(run), "--out", str(tmp_path)]
    assert main([*command, "--rollouts", "2", "--workers", "1"]) == 1
    said = capfd.readouterr().err
    assert "dagger.json is damaged" in said and "choose another --out" in said and len(said) < 300
