"""Closed-loop evaluation, its statistics, calibration files and the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vla_datasets.engine import Engine
from vla_datasets.seeds import FIRST_EVALUATION_SEED, FIRST_VALIDATION_SEED
from vla_datasets.worlds.registry import find_world
from vla_models.babyai_cnn.preprocess import BabyAIPreprocessor
from vla_training.cli import main
from vla_training.errors import EvaluationError
from vla_training.evaluate import closed_loop
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.closed_loop import (
    Evaluation,
    compare,
    evaluate,
    load_evaluation,
    parted,
    save_evaluation,
)
from vla_training.evaluate.rollout import EpisodeResult, play, replay
from vla_training.evaluate.runners import NetworkRunner, make_runner
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


def test_validation_and_evaluation_share_no_seed() -> None:
    evaluated, validated = (
        range(first, first + closed_loop.MOST_EPISODES) for first in (FIRST_EVALUATION_SEED, FIRST_VALIDATION_SEED)
    )
    assert evaluated[-1] < validated[0] and validated[-1] < 2**31


def test_evaluations_are_compared_by_episode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def episodes(*successes: bool) -> tuple[EpisodeResult, ...]:
        seeds = range(FIRST_EVALUATION_SEED, FIRST_EVALUATION_SEED + len(successes))
        return tuple(
            EpisodeResult(s, "go", ok, 1.0, "", (1, 2) if ok else (1, 0))
            for s, ok in zip(seeds, successes, strict=True)
        )

    for name, played in (("a", (True, True, False, True)), ("b", (True, False, True, False))):
        result = Evaluation("babyai", "GoToObj", "sim", 64, None, episodes(*played))
        save_evaluation(tmp_path / f"{name}.json", result)
    assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 0
    said = capsys.readouterr().out
    assert "only the first succeeded in 2 episodes, only the second in 1 (McNemar's exact test: p = 1)" in said
    assert "their actions part in 3 of 4 episodes, first at step 1" in said
    save_evaluation(tmp_path / "b.json", Evaluation("babyai", "GoToLocal", "sim", 64, None, episodes(True)))
    assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 1
    assert "were evaluated on different episodes" in capsys.readouterr().err


def test_float_and_onnx_agree_and_neither_workers_nor_lockstep_matter(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model.onnx"
    assert main(["export", "--policy", str(run), "-o", str(model)]) == 0
    together = evaluate(RunnerSpec("float", run), "babyai", "GoToObj", 5)
    onnx = evaluate(RunnerSpec("onnx", model), "babyai", "GoToObj", 5, Engine(2))
    monkeypatch.setattr(closed_loop, "LOCKSTEP", 1)
    alone = evaluate(RunnerSpec("float", run), "babyai", "GoToObj", 5, Engine(2))
    assert alone == together
    assert [e.actions for e in alone.episodes] == [e.actions for e in onnx.episodes]
    assert [e.seed for e in alone.episodes] == [FIRST_EVALUATION_SEED + i for i in range(5)]
    assert alone.max_steps == 64 and all(len(e.actions) <= 64 for e in alone.episodes)
    assert compare(alone, onnx).p_value == 1.0 and parted(alone, onnx) == (None,) * 5
    save_evaluation(tmp_path / "e.json", alone)
    assert load_evaluation(tmp_path / "e.json") == alone
    stored = json.loads((tmp_path / "e.json").read_text())
    odd = {**stored, "results": [{**stored["results"][0], "seed": "1"}]}
    for key, value in (
        ("success", "false"),
        ("success", None),
        ("success", 2),
        ("score", float("nan")),
        ("score", True),
        ("score", 10**400),
        ("actions", "left"),
        ("seed", True),
        ("failure", 0),
    ):
        row = {**stored["results"][0], key: value}
        (tmp_path / "e.json").write_text(json.dumps({**stored, "results": [row]}))
        with pytest.raises(EvaluationError, match=f"is not an evaluation: episode 0: {key} is "):
            load_evaluation(tmp_path / "e.json")
    (tmp_path / "e.json").write_text(json.dumps({**stored, "results": stored["results"][:1] * 2}))
    with pytest.raises(EvaluationError, match="two episodes have the same seed"):
        load_evaluation(tmp_path / "e.json")
    for text in ("[]", "[" * 100_000, json.dumps({**stored, "results": []}), json.dumps(odd)):
        (tmp_path / "e.json").write_text(text)
        with pytest.raises(EvaluationError, match="is not an evaluation"):
            load_evaluation(tmp_path / "e.json")


def _scripted(script: dict[int, list[int]]) -> tuple[NetworkRunner, list[int]]:
    """A runner that does per episode (told by the seed in its mission's place) the actions of a list, over and over."""
    calls: list[int] = []
    counts: dict[float, int] = {}

    class Scripted(BabyAIPreprocessor):
        def reset(self, task: str, seed: int = 0) -> None:
            super().reset(task, seed)
            self.seed = seed

        def inputs(self, observation):  # type: ignore[no-untyped-def]
            return {**super().inputs(observation), "seed": np.array([[self.seed]])}

    def compute(inputs):  # type: ignore[no-untyped-def]
        calls.append(len(inputs["seed"]))
        rows = []
        for seed in inputs["seed"][:, 0]:
            step = counts.get(seed, 0)
            counts[seed] = step + 1
            rows.append(np.eye(7, dtype=np.float32)[script[int(seed)][step % len(script[int(seed)])]])
        return {"action_logits": np.stack(rows)}

    return NetworkRunner(compute, Scripted), calls


def test_success_is_what_the_world_says_and_episodes_run_in_lockstep() -> None:
    spec = find_world("babyai")
    world = spec.make("GoToObj")
    seeds = [FIRST_EVALUATION_SEED + i for i in range(5)]
    scripts = {}
    for seed in seeds:
        world.reset(seed=seed)
        expert, scripts[seed], ended = spec.expert_of(world), [], False
        while not ended:
            scripts[seed].append(int(expert()))
            _, _, ended, _, _ = world.step(scripts[seed][-1])
    scripts[seeds[1]] = [0]  # turns on the spot
    runner, calls = _scripted(scripts)
    found = {e.seed: e for e in play([spec.make("GoToObj") for _ in range(3)], runner, seeds)}
    for seed in (s for s in seeds if s != seeds[1]):
        assert found[seed].success and found[seed].score > 0 and not found[seed].failure
        assert list(found[seed].actions) == scripts[seed]
    turning = found[seeds[1]]
    assert not turning.success and turning.score == 0 and turning.failure == "out of steps"
    assert turning.actions == (0,) * 64
    assert calls[0] == 3 and sum(calls) == sum(len(e.actions) for e in found.values()) and len(calls) < sum(calls)


def test_outputs_that_are_no_actions_are_refused_with_their_place() -> None:
    runner = NetworkRunner(lambda inputs: {"action_logits": np.full((1, 7), np.nan, np.float32)}, BabyAIPreprocessor)
    with pytest.raises(EvaluationError, match=rf"{FIRST_EVALUATION_SEED} \(step 0\): The policy's logits are"):
        list(play([find_world("babyai").make("GoToObj")], runner, [FIRST_EVALUATION_SEED]))


def test_an_episode_is_played_again() -> None:
    world = find_world("babyai").make("GoToObj")
    seen: list[np.ndarray] = []
    runner, _ = _scripted({5: [2, 0, 2]})
    runner.watch = lambda inputs: seen.append(inputs["image"][0, -3:])
    (episode,) = play([world], runner, [5])
    moments = list(replay(world, 5, episode.actions))
    assert len(moments) == len(seen) == len(episode.actions)
    for moment, pixels in zip(moments, seen, strict=True):
        view = moment.observation["observation.images.front"]
        assert np.array_equal(view.transpose(2, 0, 1), np.round(pixels * 255)) and moment.picture.ndim == 3


def _evaluation(*episodes: EpisodeResult) -> Evaluation:
    return Evaluation("babyai", "GoToObj", "float", 64, None, episodes)


def test_unpaired_evaluations_are_refused() -> None:
    one, other = (_evaluation(EpisodeResult(seed, "go", True, 1.0, "", (2,))) for seed in (1, 2))
    with pytest.raises(EvaluationError, match="different episodes"):
        compare(one, other)


@pytest.mark.parametrize(
    ("first", "second", "step"),
    [((1, 2), (1, 2), None), ((1, 2), (1, 3), 1), ((1, 2), (1, 2, 3), 2), (([0.5, 1.0],), ([0.5, 1.5],), 0)],
)
def test_where_two_policies_part(first: tuple[object, ...], second: tuple[object, ...], step: int | None) -> None:
    one, other = (_evaluation(EpisodeResult(1, "go", True, 1.0, "", actions)) for actions in (first, second))
    assert parted(one, other) == (step,)


def test_a_file_of_another_policy_is_refused(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnx
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 8]) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    with pytest.raises(EvaluationError, match=r"takes x and gives y; no registered policy does. Give .* --policy"):
        make_runner(RunnerSpec("onnx", tmp_path / "m.onnx"))
    with pytest.raises(EvaluationError, match="makes image, mission, previous_action and reads action_logits"):
        make_runner(RunnerSpec("onnx", tmp_path / "m.onnx", str(run)))
    with pytest.raises(EvaluationError, match="--policy is for a file"):
        make_runner(RunnerSpec("float", run, str(run)))


def test_a_file_with_tensors_of_another_size_is_refused(run: Path, tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    sizes = {"image": [1, 12, 64, 64], "mission": [1, 64], "previous_action": [1, 7]}
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in sizes.items()]
    output = helper.make_tensor_value_info("action_logits", TensorProto.FLOAT, [1, 7])
    graph = helper.make_graph([helper.make_node("Relu", ["previous_action"], ["action_logits"])], "g", inputs, [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    with pytest.raises(EvaluationError, match=r"does not take what its policy makes, image float32 \[1, 12, 56, 56\]"):
        evaluate(RunnerSpec("onnx", tmp_path / "m.onnx"), "babyai", "GoToObj", 1)


def test_calibration_file(data: Path, run: Path, tmp_path: Path) -> None:
    path = tmp_path / "calib.npz"
    assert main(["calibrate", "--data", str(data), "--policy", str(run), "--frames", "5", "-o", str(path)]) == 0
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
        (["calibrate", "--data", "nowhere", "--policy", "x", "-o", "c.npz"], 1, "holds no saved policy"),
        (["evaluate", "nowhere", "--level", "GoToObj"], 1, "does not exist"),
        (["evaluate", "nowhere", "--level", "GoToObb"], 1, "Did you mean 'GoToObj'"),
        (["evaluate", "nowhere", "--level", "GoToObj", "--episodes", "0"], 1, "--episodes is 0"),
        (["evaluate", "nowhere", "--level", "GoToObj", "--backend", "fpga"], 2, "invalid choice"),
        (["train", "--config", "debug", "--step", "5"], 1, "Perhaps you meant: --steps"),
        (["train", "--config", "debug", "--steps", "many"], 1, "Error parsing --steps"),
        (["train", "--config", "debug", "--policy-options.hidden", "0"], 1, "from 1 to 4096"),
        (["train", "--config", "debug", "--data", "x"], 2, "--out must be given"),
        (["export", "--policy", "x", "-o", "m.onnx", "--steps", "5"], 2, "unrecognized arguments: --steps 5"),
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
