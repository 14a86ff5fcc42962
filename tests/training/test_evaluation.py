"""Closed-loop evaluation, its statistics, calibration files and the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vla_datasets.worlds.babyai.environment import Environment
from vla_datasets.worlds.babyai.expert import FIRST_EVALUATION_SEED
from vla_training.cli import main
from vla_training.errors import EvaluationError
from vla_training.evaluate.closed_loop import Evaluation, compare, evaluate, load_evaluation, save_evaluation
from vla_training.evaluate.rollout import EpisodeResult, play, replay
from vla_training.evaluate.runners import RunnerSpec
from vla_training.evaluate.statistics import mcnemar, wilson_interval


def test_wilson_interval_against_published_values() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3: 81/263 and 15/148
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(200, 200)[0] == pytest.approx(0.98115, abs=1e-5)
    assert wilson_interval(0, 5)[0] == 0.0
    with pytest.raises(EvaluationError):
        wilson_interval(3, 2)


def test_mcnemar_is_the_exact_binomial() -> None:
    paired = mcnemar([True] * 6 + [False] * 2 + [True] * 9, [False] * 6 + [True] * 2 + [True] * 9)
    assert (paired.only_first, paired.only_second) == (6, 2)
    assert paired.p_value == pytest.approx(2 * (1 + 8 + 28) / 256)
    assert mcnemar([True], [True]).p_value == 1.0
    with pytest.raises(EvaluationError, match="Cannot pair"):
        mcnemar([True], [])


def test_float_and_onnx_agree_and_workers_do_not_matter(run: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    assert main(["export", "--policy", str(run), "-o", str(model)]) == 0
    alone = evaluate(RunnerSpec("float", run), "GoToObj", 3)
    onnx = evaluate(RunnerSpec("onnx", model), "GoToObj", 3, workers=2)
    assert [e.actions for e in alone.episodes] == [e.actions for e in onnx.episodes]
    assert [e.seed for e in alone.episodes] == [FIRST_EVALUATION_SEED + i for i in range(3)]
    assert alone.max_steps == 64 and all(len(e.actions) <= 64 for e in alone.episodes)
    assert compare(alone, onnx).p_value == 1.0
    save_evaluation(tmp_path / "e.json", alone)
    assert load_evaluation(tmp_path / "e.json") == alone
    (tmp_path / "e.json").write_text("[]")
    with pytest.raises(EvaluationError, match="is not an evaluation"):
        load_evaluation(tmp_path / "e.json")


def test_success_means_reward_within_the_step_limit() -> None:
    environment = Environment("GoToObj")
    environment.reset(FIRST_EVALUATION_SEED)
    bot, actions = environment.bot(), []
    done, action = False, None
    while not done:
        action = int(bot.replan(action))
        actions.append(action)
        _, _, done = environment.step(action)
    script = iter(actions)
    assert play(environment, lambda inputs: np.eye(7, dtype=np.float32)[next(script)], FIRST_EVALUATION_SEED).success
    turning = play(environment, lambda inputs: np.eye(7, dtype=np.float32)[0], FIRST_EVALUATION_SEED)
    assert not turning.success and len(turning.actions) == 64
    with pytest.raises(EvaluationError, match="logits are"):
        play(environment, lambda inputs: np.full(7, np.nan, np.float32), FIRST_EVALUATION_SEED)


def test_replay_shows_what_the_policy_saw() -> None:
    environment = Environment("GoToObj")
    seen: list[dict[str, np.ndarray]] = []

    def runner(inputs):  # type: ignore[no-untyped-def]
        seen.append(inputs)
        return np.eye(7, dtype=np.float32)[len(seen) % 3]

    episode = play(environment, runner, 5)
    moments = list(replay(environment, 5, episode.actions))
    assert len(moments) == len(seen)
    for moment, inputs in zip(moments, seen, strict=True):
        assert all(np.array_equal(moment.inputs[name], inputs[name]) for name in inputs)


def test_unpaired_evaluations_are_refused() -> None:
    one = Evaluation("GoToObj", "float", 64, (EpisodeResult(1, "go", True, (2,)),))
    other = Evaluation("GoToObj", "sim", 64, (EpisodeResult(2, "go", True, (2,)),))
    with pytest.raises(EvaluationError, match="different episodes"):
        compare(one, other)


def test_calibration_file(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "calib.npz"
    assert main(["calibrate", "--data", str(data), "--frames", "5", "-o", str(path)]) == 0
    with np.load(path, allow_pickle=False) as stored:
        shapes = {name: stored[name].shape for name in stored.files}
        frames = shapes["image"][0]
        assert 1 <= frames <= 5
        assert shapes == {
            "image": (frames, 12, 56, 56),
            "mission": (frames, 64),
            "previous_action": (frames, 7),
        }
        assert all(stored[name].dtype == np.float32 for name in stored.files)
        assert stored["image"].min() >= 0 and stored["image"].max() <= 1


def test_train_and_evaluate_commands(data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--config", "debug", "--data", str(data), "--out", str(tmp_path)]) == 0
    arguments = ["evaluate", str(tmp_path), "--backend", "float", "--level", "GoToObj", "--episodes", "1"]
    capfd.readouterr()
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["episodes"] == 1
    assert main(arguments) == 0
    assert "95 % interval" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "--config", "goto_ob", "--data", "x", "--out", "y"], 1, "Did you mean 'goto_obj'"),
        (["train", "--config", "debug", "--data", "nowhere", "--out", "y"], 1, "does not exist"),
        (["export", "--policy", "nowhere", "-o", "m.onnx"], 1, "holds no saved policy"),
        (["calibrate", "--data", "nowhere", "-o", "c.npz"], 1, "does not exist"),
        (["evaluate", "nowhere", "--level", "GoToObj"], 1, "does not exist"),
        (["evaluate", "nowhere", "--level", "GoToObb"], 1, "Did you mean 'GoToObj'"),
        (["evaluate", "nowhere", "--level", "GoToObj", "--episodes", "0"], 1, "--episodes is 0"),
        (["evaluate", "nowhere", "--level", "GoToObj", "--backend", "fpga"], 2, "invalid choice"),
        ([], 2, "usage: vla-train"),
    ],
)
def test_user_mistakes_are_one_message(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    captured = capfd.readouterr().err
    assert message in captured and "Traceback" not in captured
    assert list(tmp_path.iterdir()) == []
