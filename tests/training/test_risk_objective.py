"""Objective `risk`: weights count, confidence learns, and checkpoints are not won by always saying high."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rover_samples import made, run, windows
from vla_training.errors import TrainConfigError
from vla_training.risk_scores import alarm_threshold, alarms, confusion, expected_calibration_error


def test_a_threshold_keeps_to_the_false_alarms() -> None:
    rng = np.random.default_rng(0)
    wanted = rng.random(2000) < 0.2
    chance = np.clip(rng.normal(0.3 + 0.3 * wanted, 0.2), 0, 1)
    for most in (0.01, 0.1, 0.5):
        threshold = alarm_threshold(chance, wanted, most)
        recall, false = alarms(chance, wanted, threshold)
        assert false <= most < alarms(chance, wanted, np.sort(chance[chance < threshold])[-3])[1] + 0.01
        assert recall == pytest.approx((chance[wanted] >= threshold).mean())
    assert alarms(chance, wanted, alarm_threshold(chance, wanted, 0.1))[0] > 0.5


def test_who_always_says_high_recalls_nothing() -> None:
    """Published: the best checkpoint was the one with the largest recall, whatever else it said."""
    wanted = np.array([True, False, False, True])
    same = np.full(4, 0.99)
    assert alarms(same, wanted, alarm_threshold(same, wanted, 0.1)) == (0.0, 0.0)
    better = np.array([0.9, 0.2, 0.3, 0.8])
    assert alarms(better, wanted, alarm_threshold(better, wanted, 0.1)) == (1.0, 0.0)


def test_calibration_error_by_hand() -> None:
    confidence, right = np.array([0.95, 0.95, 0.55, 0.55]), np.array([True, False, True, False])
    assert expected_calibration_error(confidence, right) == pytest.approx((0.45 + 0.05) / 2)
    exact = np.repeat([0.25, 0.75], 400)
    lucky = np.concatenate([np.arange(400) < 100, np.arange(400) < 300])
    assert expected_calibration_error(exact, lucky) == pytest.approx(0.0)
    assert expected_calibration_error(np.ones(10), np.ones(10, bool)) == 0.0


def test_confusion_by_hand() -> None:
    found = confusion(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1]), 4)
    assert found.counts.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert found.accuracy == 0.5 and found.f1_macro == pytest.approx((2 / 3 + 2 / 4 + 0) / 3)


def loss_of(policy: Any, batch: Any, **options: Any) -> tuple[Any, Any]:
    from vla_training.objectives.risk import Risk

    found: tuple[Any, Any] = Risk(**options).loss(policy, batch, None)  # type: ignore[arg-type]
    return found


def test_the_loss_by_hand() -> None:
    import dataclasses

    import torch
    from torch.nn import functional

    policy = made().train()
    batch = policy.prepare(windows(run(6)))
    batch = dataclasses.replace(batch, target=batch.target.clone())
    batch.target[:, 3] = torch.tensor([1, 0.5, 0, 1, 1, 0.25])
    outputs = policy(*batch.inputs.values())
    wanted, weight = batch.target[:, :3].long(), batch.target[:, 3]
    total, right = 0.0, torch.ones(6, dtype=torch.bool)
    high = torch.tensor([1.0, 1.0, 1.0, 3.0])
    for column, part in enumerate((1.0, 0.5, 1.0)):
        each = functional.cross_entropy(outputs[column], wanted[:, column], reduction="none")
        each = each * (high[wanted[:, 0]] if column == 0 else 1)
        total = total + part * (each * weight).sum() / weight.sum()
        right &= outputs[column].argmax(1) == wanted[:, column]
    sure = functional.binary_cross_entropy_with_logits(outputs[3][:, 0], right.float(), reduction="none")
    total = total + 0.2 * (sure * weight).sum() / weight.sum()
    loss, watched = loss_of(policy, batch, risk_weights=(1, 1, 1, 3))
    torch.testing.assert_close(loss, total)
    assert set(watched) == {"risk_accuracy", "reason_accuracy", "action_accuracy"}


def test_a_frame_without_weight_teaches_nothing_and_confidence_learns() -> None:
    """Published: weights were read and not used, and nothing taught the confidence."""
    import dataclasses

    import torch

    policy = made().train()
    batch = policy.prepare(windows(run(6)))
    batch = dataclasses.replace(batch, target=batch.target.clone())
    batch.target[2, 3] = 0
    loss, _ = loss_of(policy, batch)
    loss.backward()
    assert bool(policy.heads["confidence"].weight.grad.any())
    other = batch.target.clone()
    other[2, :3] = (other[2, :3] + 1) % 4
    torch.testing.assert_close(loss_of(policy, dataclasses.replace(batch, target=other))[0], loss)
    other[3, :3] = (other[3, :3] + 1) % 4
    assert not torch.allclose(loss_of(policy, dataclasses.replace(batch, target=other))[0], loss)


def test_evaluation_judges_all_frames_at_once() -> None:
    from vla_training.objectives.risk import Risk

    policy = made().eval()
    batch = policy.prepare(windows(run(40)))
    _, watched = loss_of(policy, batch)
    frames = {name: value.numpy() for name, value in watched.items() if value.ndim}
    assert set(frames) == {"high", "high_chance", "confidence", "right"} and len(frames["high"]) == 40
    batch.target[:30, 3] = 0
    assert len(loss_of(policy, batch)[1]["high"]) == 10
    values, score = Risk(false_alarms=0.5).judge(frames)
    assert set(values) == {"high_recall", "calibration_error"} and score == values["high_recall"]
    with pytest.raises(TrainConfigError, match="held-out frames with a high risk and without"):
        Risk().judge(frames | {"high": np.zeros(40, bool)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"risk_weights": (1.0, 1.0)}, "'risk_weights' is .* must be 4 numbers"),
        ({"action_weights": (0.0,) * 6}, "not all 0"),
        ({"confidence": -1.0}, "'confidence' is -1.0"),
        ({"false_alarms": 1.0}, "between 0 and 1"),
    ],
)
def test_mistakes(options: dict[str, Any], message: str) -> None:
    from vla_training.objectives.risk import Risk

    with pytest.raises(TrainConfigError, match=message):
        Risk(**options)


def test_another_policy_is_refused() -> None:
    import torch

    from vla_models.policy import Batch

    batch = Batch({"x": torch.zeros(2, 3)}, torch.zeros(2, dtype=torch.long))
    with pytest.raises(TrainConfigError, match="takes policy 'sim_v0'"):
        loss_of(torch.nn.Linear(3, 2), batch)


def test_a_run_chooses_by_recall(tmp_path: Path) -> None:
    """A checkpoint is the best one even where nothing is recalled; published: then there was none."""
    import json

    import torch

    from vla_datasets.collect import CollectOptions, collect
    from vla_training.config.load import load_config
    from vla_training.loop import train

    pytest.importorskip("panda3d")
    torch.set_num_threads(1)
    collect(CollectOptions("rover", "watched", 6, validation_fraction=0.4), tmp_path / "data")
    sizes = {"width": 16, "heads": 2, "layers": 1, "features": 16, "channels": [4, 4, 4, 4]}
    given = [f"--policy-options.{k}={v}" for k, v in sizes.items() if k != "channels"]
    given += ["--policy-options.channels", "4", "4", "4", "4", "--steps", "4", "--validate-every", "2"]
    given += ["--save-every", "2", "--batch-size", "4", "--learning-rate", "1e-9"]
    folder = train(load_config("rover_sim_v0", given), tmp_path / "data", tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "train.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "validation_high_recall" in line] == [2, 4]
    assert (tmp_path / "run" / "checkpoints" / "best").exists() and folder.is_dir()
    assert all(0 <= line["validation_calibration_error"] <= 1 for line in lines if "validation_loss" in line)
