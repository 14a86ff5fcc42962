"""`vla-train risk` and `fit-risk`: scores of held-out runs, what a policy owes to each signal, and how sure it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rover_samples import SIDE, STATISTICS, fitted, run, write_runs
from vla_datasets.errors import DatasetError
from vla_datasets.keys import ACTION
from vla_datasets.worlds.rover.names import HIGH, IMAGE, TELEMETRY, WEIGHT
from vla_models.registry import find_policy
from vla_training.errors import EvaluationError
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.risk import ask, score, table
from vla_training.risk_scores import alarm_threshold

V = 6  # of the telemetry


def bright_and_fast(length: int, seed: int) -> dict[str, np.ndarray]:
    """A run of which a risk is high where the picture is bright and the rover fast: neither says it alone."""
    rng, frames = np.random.default_rng(seed), run(length, seed)
    bright, fast = rng.random(length) < 0.5, rng.random(length) < 0.5
    frames[IMAGE] = np.repeat(np.where(bright, 200, 20), SIDE * SIDE * 3).reshape(frames[IMAGE].shape).astype(np.uint8)
    frames[TELEMETRY][:, V] = np.where(fast, 2.0, 0.2)
    risk = np.where(bright & fast, 3, fast)
    frames[ACTION] = np.stack([risk, risk % 4, risk], axis=1)
    return frames


def knows(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a network that has learnt that says."""
    bright = inputs["image"].mean(axis=(1, 2, 3)) > 0
    fast = inputs["telemetry"][:, V] > 0.3  # of (v - 0.5) / 2
    risk = np.where(bright & fast, 3, fast).astype(int)
    sure = np.full((len(risk), 1), 2.0)
    row = np.zeros((len(risk), 16), np.float32)
    logits = {"risk": 4, "reason": 4, "action": 6}
    return {**{name: 5 * np.eye(n)[risk] for name, n in logits.items()}, "confidence": sure, "row": row}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_runs(tmp_path / "data", [bright_and_fast(9 + seed % 4, seed) for seed in range(40)])
    return tmp_path / "data"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """Saved, untrained, with the statistics of no data."""
    pytest.importorskip("transformers")
    import torch

    from vla_models.saved import save_whole_policy

    torch.manual_seed(0)
    config = fitted()
    save_whole_policy(tmp_path / "policy", "sim_v0", config, find_policy("sim_v0").make(config).state_dict())
    return tmp_path / "policy"


def asked(data: Path, monkeypatch: pytest.MonkeyPatch, **how: Any) -> Any:
    from vla_training.evaluate import risk
    from vla_training.evaluate.runners import NetworkRunner

    spec = find_policy("sim_v0")
    config = spec.fitted(spec.configured({"width": 16, "image_size": SIDE, "heads": 2}), STATISTICS)
    monkeypatch.setattr(risk, "network_runner", lambda _: NetworkRunner(knows, lambda: spec.preprocessor(config)))
    return ask(RunnerSpec("float", data), data, "val", **how)


def test_who_knows_all_scores_all(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = asked(data, monkeypatch)
    assert len(said.ids) == len(set(said.ids)) == sum(9 + seed % 4 for seed in range(20, 40))
    assert said.ids[0] == "20/0" and np.array_equal(said.right, said.words)
    row = score("it", said, 0.1)
    assert (row.high_recall, row.false_alarms, row.recall_at) == (1.0, 0.0, 1.0)
    assert set(row.accuracy.values()) == set(row.f1_macro.values()) == {1.0}
    assert row.calibration_error == pytest.approx(1 - 1 / (1 + np.exp(-2)))
    assert len(asked(data, monkeypatch, most=3).ids) == 9 + 10 + 11


@pytest.mark.parametrize("shuffled", ["video", "telemetry"])
def test_without_its_own_video_or_telemetry_it_is_worse(
    data: Path, monkeypatch: pytest.MonkeyPatch, shuffled: str
) -> None:
    row = score("it", asked(data, monkeypatch, shuffled=shuffled), 0.1)
    assert 0.2 < row.high_recall < 0.8 and 0.05 < row.false_alarms < 0.5
    wrong = row.accuracy["risk"]
    assert 0.3 < wrong < 0.9


def test_frames_that_weigh_nothing_are_seen_and_not_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [bright_and_fast(9, seed) for seed in range(4)]
    for frames in runs:
        frames[WEIGHT][:8] = 0
    write_runs(tmp_path / "last", runs)
    assert asked(tmp_path / "last", monkeypatch).ids == ("2/8", "3/8")


@pytest.mark.parametrize(("column", "wrong"), [(0, -1), (1, 4), (2, 6)])
def test_labels_that_are_none_are_not_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: int, wrong: int
) -> None:
    """A table of confusions would count -1 as the last word."""
    runs = [bright_and_fast(9, seed) for seed in range(4)]
    runs[3][ACTION][2, column] = wrong
    write_runs(tmp_path / "data", runs)
    with pytest.raises(DatasetError, match=r"episode 3: 'action' must be indices .* from 0 to below 4, 4, 6"):
        asked(tmp_path / "data", monkeypatch)


def test_a_table(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = table([score("it", asked(data, monkeypatch), 0.1)], 0.1).splitlines()
    assert lines[0].split() == ["high", "recall", "false", "alarms", "recall", "at", "10%", *lines[0].split()[7:]]
    assert lines[1].split()[:2] == ["it", "100.0"] and lines[1].split()[-1] == "-"


def made_right_at_times(folder: Path, data: Path) -> None:
    """An untrained policy says what is most often right, and is surer where that is so, but far too sure."""
    from vla_models.saved import load_config, load_policy, save_whole_policy

    config, weights = load_config(folder)[1], load_policy(folder).state_dict()
    said = ask(RunnerSpec("float", folder), data, "val")
    for place, name in enumerate(("risk", "reason", "action")):
        weights[f"heads.{name}.bias"][np.bincount(said.right[:, place]).argmax()] += 10
    shutil.rmtree(folder)
    save_whole_policy(folder, "sim_v0", config, weights)
    said = ask(RunnerSpec("float", folder), data, "val")
    words, high = said.words.copy(), said.right[:, 0] == HIGH
    words[:, 0] = np.where(said.high >= alarm_threshold(said.high, high, 0.3), HIGH, said.below)
    right = (words == said.right).all(axis=1)
    if said.log_odds[right].mean() < said.log_odds[~right].mean():
        for name in ("heads.confidence.weight", "heads.confidence.bias"):
            weights[name] *= -1
    weights["heads.confidence.bias"] += 3
    shutil.rmtree(folder)
    save_whole_policy(folder, "sim_v0", config, weights)


def test_commands(data: Path, policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from vla_models.saved import load_config, load_policy
    from vla_training.cli import main

    given = ["--data", str(data), "--false-alarms", "0.3"]
    assert main(["fit-risk", "--policy", str(policy), *given, "-o", str(tmp_path / "fit")]) == 1
    assert "The policy is right on 0 of" in capsys.readouterr().err
    made_right_at_times(policy, data)
    asks = ["risk", str(policy), *given, "-o", str(tmp_path / "t.json"), "--predictions", str(tmp_path / "p.json")]
    assert main(asks) == 0
    (before,) = json.loads((tmp_path / "t.json").read_text())
    said = json.loads((tmp_path / "p.json").read_text())
    assert before["frames"] == len(said) and set(said[0]) == {"sample_id", "risk", "reason", "action", "confidence"}
    assert f"{before['frames']} frames of 'val'" in capsys.readouterr().out

    assert main(["fit-risk", "--policy", str(policy), *given, "-o", str(tmp_path / "fit")]) == 0
    assert "calibration error" in capsys.readouterr().out
    config, first = load_config(tmp_path / "fit")[1], load_policy(policy).state_dict()
    assert 0 < config.high_from < 1
    changed = {name for name, w in load_policy(tmp_path / "fit").state_dict().items() if not w.equal(first[name])}
    assert changed == {"heads.confidence.weight", "heads.confidence.bias"}
    assert main(["risk", str(tmp_path / "fit"), *given, "-o", str(tmp_path / "t.json")]) == 0
    (after,) = json.loads((tmp_path / "t.json").read_text())
    assert after["false_alarms"] <= 0.3 and after["high_recall"] == pytest.approx(before["recall_at"])
    assert after["calibration_error"] < before["calibration_error"]
    assert main(["fit-risk", "--policy", str(policy), *given, "-o", str(tmp_path / "fit")]) == 1
    assert "exists; choose another one" in capsys.readouterr().err


def test_scale_and_shift_are_found_again() -> None:
    from vla_training.fit_risk import scaled_and_shifted

    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 40_000)
    right = rng.random(40_000) < 1 / (1 + np.exp(-(0.5 * logits - 0.7)))
    assert scaled_and_shifted(logits, right) == pytest.approx((0.5, -0.7), abs=0.05)
    with pytest.raises(EvaluationError, match="less often right the surer it is"):
        scaled_and_shifted(-logits, right)


def test_mistakes(
    data: Path, policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vla_training.cli import main

    write_runs(tmp_path / "one", [bright_and_fast(5, 0), bright_and_fast(5, 1)])
    with pytest.raises(EvaluationError, match="'val' has 1 run"):
        ask(RunnerSpec("float", policy), tmp_path / "one", "val", shuffled="video")
    with pytest.raises(EvaluationError, match="--runs is -1"):
        ask(RunnerSpec("float", policy), data, "val", most=-1)
    said = asked(data, monkeypatch)
    with pytest.raises(EvaluationError, match=r"0 of \d+ frames have a high risk"):
        score("it", type(said)(**{**vars(said), "right": np.zeros_like(said.right)}), 0.1)
    for code, arguments, message in (
        (2, ["risk", str(policy), str(policy), "--predictions", "p.json"], "--predictions is of one path"),
        (2, ["risk", str(policy), "--false-alarms", "1"], "must be between 0 and 1"),
        (1, ["fit-risk", "--policy", str(policy), "--false-alarms", "0", "-o", str(tmp_path / "f")], "between 0 and 1"),
    ):
        assert main([*arguments, "--data", str(data)]) == code
        assert message in capsys.readouterr().err


def test_what_a_run_learnt_from_is_no_held_out_data(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fitted to the runs it learnt from, a policy would be as sure everywhere as it is there."""
    pytest.importorskip("transformers")
    from vla_training.cli import main

    sizes = {"width": 16, "heads": 2, "layers": 1, "image-size": SIDE, "channels": 4, "features": 8}
    given = [part for name, size in sizes.items() for part in (f"--policy-options.{name}", str(size))]
    steps = ["--steps", "1", "--batch-size", "2", "--warmup-steps", "0", "--validate-every", "9", "--save-every", "9"]
    train = ["train", "--config", "rover_sim_v0", "--data", str(data), "--out", str(tmp_path / "run"), *steps, *given]
    assert main([*train, "--policy-options.eyes-frozen"]) == 1
    assert "'eyes_frozen' keeps weights" in capsys.readouterr().err and not (tmp_path / "run").exists()
    assert main(train) == 0
    fit = ["fit-risk", "--policy", str(tmp_path / "run"), "--data", str(data), "-o", str(tmp_path / "fit")]
    assert main([*fit, "--split", "train"]) == 1
    assert "learnt from the split 'train'" in capsys.readouterr().err and not (tmp_path / "fit").exists()
    assert main(fit) == 1 and "learnt from" not in capsys.readouterr().err  # of 1 step nothing is right
