"""Waypoints: their objective, that of their tower, a run with a frozen tower, and scores on held-out frames."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_datasets.keys import ACTION, STATE
from vla_datasets.waymo.metrics import displacement
from vla_models.draws import Draws
from vla_models.policy import Batch
from vla_training.config.load import load_config
from vla_training.errors import EvaluationError, TrainConfigError
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.waypoints import held_out_frames, score_baselines, score_policy, table
from vla_training.objectives.ade import AverageDisplacement
from vla_training.objectives.masked_patches import MaskedPatches
from waypoint_frames import FRONT, TOWER, frames, made, write_frames, write_tower

FEW = ("--steps", "8", "--batch-size", "4", "--validate-every", "4", "--save-every", "4", "--warmup-steps", "1")


def options(values: dict[str, Any]) -> list[str]:
    return [
        part for name, value in values.items() for part in (f"--policy-options.{name.replace('_', '-')}", str(value))
    ]


def head_run(folder: Path, *more: str) -> Any:
    given = {"tower": write_tower(folder / "tower"), "feature_cache": folder / "c", "pooling_heads": 2, "hidden": 16}
    return load_config("waymo_waypoint", [*options(given), *FEW, *more])


def test_adapters_that_have_learnt_stay_as_they_are(tmp_path: Path) -> None:
    """Of another rank, scale or place they would be lost or others; what has none may get some."""
    pytest.importorskip("peft")
    import torch

    from vla_models.saved import save_whole_policy
    from vla_training.first_policy import first_policy

    write_frames(tmp_path / "data")
    lora = {"lora_rank": 2, "lora_alpha": 4.0, "lora_layers": 1}
    given = {"tower": write_tower(tmp_path / "tower"), "pooling_heads": 2, "hidden": 16}

    def begun(name: str, **more: Any) -> Any:
        chosen = options({**given, **lora, **more})
        return first_policy(load_config(name, [*chosen, "--init-from", str(tmp_path / "saved")]), tmp_path / "data")

    first = first_policy(load_config("waymo_waypoint", options(given)), tmp_path / "data")
    save_whole_policy(tmp_path / "saved", "vlm_waypoint", first.config, first.state_dict())
    learnt = begun("waymo_waypoint_lora")
    assert learnt.config.lora_alpha == 4 and torch.equal(learnt.head.layers[0].weight, first.head.layers[0].weight)
    (tmp_path / "saved").rename(tmp_path / "first")
    with torch.no_grad():
        for name, weight in learnt.named_parameters():
            if ".lora_" in name:
                weight.normal_()
    save_whole_policy(tmp_path / "saved", "vlm_waypoint", learnt.config, learnt.state_dict())
    again = begun("waymo_waypoint_lora", lora_dropout=0.2)
    assert all(torch.equal(again.state_dict()[name], weight) for name, weight in learnt.state_dict().items())
    for change in ({"lora_rank": 0}, {"lora_rank": 3}, {"lora_alpha": 8.0}, {"lora_layers": 2}):
        ((name, value),) = change.items()
        with pytest.raises(
            TrainConfigError, match=rf"policy_options.{name}' is {value}, and that of .*; give the same"
        ):
            begun("waymo_waypoint_lora", **change)


def test_the_loss_is_the_metric() -> None:
    """Of waypoints in metres, by the definition that scores them."""
    import torch

    from vla_models.vlm_waypoint.motion import velocity_of, waypoints_of

    policy = made()
    found = frames(6)
    windows = {key: torch.from_numpy(value)[:, None] for key, value in found.items()}
    batch = policy.prepare(windows)
    with torch.no_grad():
        said = policy(*batch.inputs.values())
        loss, watched = AverageDisplacement().loss(policy, batch, Draws(torch.Generator()))
    points = waypoints_of(said.numpy(), velocity_of(found[STATE]))
    assert float(loss) == pytest.approx(displacement(points, found[ACTION], 5).mean(), rel=1e-4)
    assert float(watched["ade_3s"]) == pytest.approx(displacement(points, found[ACTION], 3).mean(), rel=1e-4)
    assert float(watched["ade_5s"]) == pytest.approx(float(loss), rel=1e-6)
    with pytest.raises(TrainConfigError, match=r"'ade' takes motions"):
        AverageDisplacement().loss(policy, Batch(batch.inputs, batch.target[:, :3]), Draws(torch.Generator()))


def test_the_loss_has_a_gradient_where_nothing_is_wrong() -> None:
    import torch

    policy = made()
    batch = policy.prepare({key: torch.from_numpy(value)[:, None] for key, value in frames(2).items()})
    with torch.no_grad():
        said = policy(*batch.inputs.values())
    loss, _ = AverageDisplacement().loss(policy, Batch(batch.inputs, said), Draws(torch.Generator()))
    loss.backward()
    assert float(loss.detach()) == 0 and all(bool(torch.isfinite(w.grad).all()) for w in policy.head.parameters())


def test_hidden_patches_are_asked_for() -> None:
    """A policy that says what is there has no loss; which patches are hidden is the generator's."""
    import torch

    asked = []
    target = torch.randn(5, 16, 12)

    def knows(picture: Any, seen: Any, hidden: Any) -> Any:
        asked.append((seen, hidden))
        return torch.stack([target[n, places] for n, places in enumerate(hidden)])

    def is_grey(picture: Any, seen: Any, hidden: Any) -> Any:
        return torch.zeros(*hidden.shape, 12)

    batch = Batch({"image": torch.zeros(5, 3, 4, 4)}, target)
    draws = [Draws(torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    losses = [MaskedPatches().loss(knows, batch, drawn)[0] for drawn in draws]  # type: ignore[arg-type]
    assert losses == [0, 0, 0]
    for seen, hidden in asked:
        assert seen.shape == (5, 4) and hidden.shape == (5, 12)
        assert torch.equal(torch.cat([seen, hidden], 1).sort(1).values, torch.arange(16).expand(5, -1))
    assert torch.equal(asked[0][0], asked[1][0]) and not torch.equal(asked[0][0], asked[2][0])
    assert not torch.equal(asked[0][0][0], asked[0][0][1])
    loss, _ = MaskedPatches(hidden=0.5).loss(is_grey, batch, draws[0])  # type: ignore[arg-type]
    assert 0.5 < float(loss) < 1.5
    with pytest.raises(TrainConfigError, match="of 16 patches 0 would be seen"):
        MaskedPatches(hidden=0.99).loss(knows, batch, draws[0])  # type: ignore[arg-type]
    with pytest.raises(TrainConfigError, match="takes a policy 'siglip_tower'"):
        MaskedPatches().loss(knows, Batch(batch.inputs, target[0]), draws[0])  # type: ignore[arg-type]
    with pytest.raises(TrainConfigError, match="'hidden' is 1"):
        MaskedPatches(hidden=1.0)


def test_from_a_tower_to_scores(tmp_path: Path) -> None:
    """The tower is learnt from pictures, the head on it; its checkpoint has no weight of the tower, nor has AdamW."""
    from safetensors.torch import load_file

    from vla_models.saved import load_config as saved_config
    from vla_training.loop import train

    data = tmp_path / "data"
    data.mkdir()
    write_frames(data)
    made_of = {**TOWER, "decoder_width": 12}
    tower = train(load_config("waymo_tower", [*options(made_of), *FEW]), data, tmp_path / "tower")
    given = options({"tower": tower, "feature_cache": tmp_path / "c", "pooling_heads": 2, "hidden": 16})
    config = load_config("waymo_waypoint", [*given, *FEW])
    saved = train(config, data, tmp_path / "head")
    names = load_file(saved / "model.safetensors")
    assert names and all(name.startswith("head.") for name in names)
    moments = load_file(saved.parent / "training_state" / "optimizer.safetensors")
    assert {name.split(".")[0] for name in moments} == {str(number) for number in range(len(names))}
    assert saved_config(saved)[1].tower_width == TOWER["tower_width"]
    frames_ = held_out_frames(data, "val")
    rows = [*score_baselines(frames_), score_policy(RunnerSpec("float", tmp_path / "head"), frames_)]
    logged = [json.loads(line) for line in (tmp_path / "head" / "train.jsonl").read_text().splitlines()][-1]
    assert rows[2].scores.ade_5s == pytest.approx(logged["validation_ade_5s"], rel=1e-4)
    assert rows[2].scores.ade_3s == pytest.approx(logged["validation_ade_3s"], rel=1e-4)


def test_a_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    from vla_training.loop import train

    data = tmp_path / "data"
    data.mkdir()
    write_frames(data)
    config = head_run(tmp_path)
    whole = train(config, data, tmp_path / "whole")
    train(config, data, tmp_path / "parts", stop_after=4)
    parts = train(config, data, tmp_path / "parts")
    assert (whole / "model.safetensors").read_bytes() == (parts / "model.safetensors").read_bytes()


def test_scores_on_each_backend(tmp_path: Path) -> None:
    """A head that says nothing drives at its speed: constant velocity's scores, on float, ONNX Runtime and int8."""
    import torch

    from vla_models.export_onnx import export_onnx
    from vla_models.saved import save_policy
    from vla_toolchain.vlac_cli import main as vlac

    write_frames(tmp_path / "data", episodes=3, length=7)
    policy = made()
    with torch.no_grad():
        policy.head.layers[-1].weight.zero_()
        policy.head.layers[-1].bias.zero_()
    saved = tmp_path / "saved"
    saved.mkdir()
    save_policy(saved, "vlm_waypoint", policy.config, policy.state_dict())
    export_onnx(policy, tmp_path / "m.onnx")
    program = tmp_path / "m.bin"
    assert vlac(["compile", str(tmp_path / "m.onnx"), "-o", str(program), "--config", "tiny", "--calib", "random"]) == 0
    found = held_out_frames(tmp_path / "data", "val")
    velocity, turn = score_baselines(found)
    specs = [RunnerSpec("float", saved), RunnerSpec("onnx", tmp_path / "m.onnx", str(saved))]
    specs.append(RunnerSpec("sim", program, str(saved)))
    rows = [score_policy(spec, found) for spec in specs]
    for row in rows:
        assert row.scores.ade_5s == pytest.approx(velocity.scores.ade_5s, rel=1e-5)
        assert row.scores.rfs == pytest.approx(velocity.scores.rfs, rel=1e-5)
    assert rows[0].cycles is None and rows[2].cycles
    text = table([velocity, turn, *rows]).splitlines()
    assert len(text) == 6 and text[1].startswith("constant_velocity")
    assert re.search(r"[+-]0\.0 % +- ", text[5])  # held out is one segment: no interval
    two = score_baselines(held_out_frames(tmp_path / "data", "train"))
    assert re.search(r"% +[+-]\d+\.\d to [+-]\d", table(two).splitlines()[2])


def test_some_frames_are_those_of_their_numbers(tmp_path: Path) -> None:
    written = write_frames(tmp_path, episodes=3, length=7)
    with pytest.raises(EvaluationError, match="--frames is -1"):
        held_out_frames(tmp_path, "val", -1)
    found = held_out_frames(tmp_path, "train", 3)
    assert found.numbers.tolist() == [0, 6, 13]
    seen = list(found.observations())
    for row, number in enumerate(found.numbers):
        np.testing.assert_array_equal(seen[row][FRONT], written[FRONT][number])
        np.testing.assert_array_equal(seen[row][STATE], written[STATE][number])
        np.testing.assert_array_equal(found.motion.future[row], written[ACTION][number])


def test_pictures_of_another_segment(tmp_path: Path) -> None:
    """The rest of a frame stays its own; one segment alone has no other."""
    written = write_frames(tmp_path / "data", episodes=3, length=7)
    found = held_out_frames(tmp_path / "data", "train", 3)
    seen = list(found.observations(shuffled=True))
    for row, (number, other) in enumerate(zip((0, 6, 13), (7, 13, 6), strict=True)):
        np.testing.assert_array_equal(seen[row][FRONT], written[FRONT][other])
        np.testing.assert_array_equal(seen[row][STATE], written[STATE][number])
    from vla_models.saved import save_policy

    policy, saved = made(), tmp_path / "saved"
    saved.mkdir()
    save_policy(saved, "vlm_waypoint", policy.config, policy.state_dict())
    own, others = (score_policy(RunnerSpec("float", saved), found, shuffled=shuffled) for shuffled in (False, True))
    assert others.name == f"{saved} (float, other pictures)" and (own.errors != others.errors).any()
    with pytest.raises(EvaluationError, match="--shuffle takes another segment's pictures; 'val' has 1 segment"):
        score_policy(RunnerSpec("float", saved), held_out_frames(tmp_path / "data", "val"), shuffled=True)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from vla_training.cli import main

    write_frames(tmp_path / "data")
    out = tmp_path / "rows.json"
    assert main(["waypoints", "--data", str(tmp_path / "data"), "-o", str(out)]) == 0
    assert "5 frames of 'val', 5 of them rated" in capsys.readouterr().out
    rows = json.loads(out.read_text())
    assert [row["name"] for row in rows] == ["constant_velocity", "constant_turn"]
    assert main(["waypoints", str(tmp_path / "none"), "--data", str(tmp_path / "data")]) == 1


def test_the_interval_is_over_segments() -> None:
    """Of alike frames in two groups it is as wide as for one frame of each, whose draws can be listed."""
    from vla_training.evaluate.statistics import change_interval

    first, second = np.ones(2), np.array([0.5, 1.5])
    assert change_interval(first, second, [0, 1]) == (-0.5, 0.5)  # a quarter of the draws are one group twice
    many = change_interval(np.repeat(first, 50), np.repeat(second, 50), np.repeat([7, 3], 50))
    assert many == (-0.5, 0.5)
    low, high = change_interval(np.ones(400), np.tile(second, 200), np.arange(400))
    assert -0.07 < low < -0.03 and 0.03 < high < 0.07  # a deviation of 0.5 / 20, times 1.96
    assert change_interval(first, first / 2, [0, 1]) == (-0.5, -0.5)
    with pytest.raises(EvaluationError, match="needs two or more; there is 1"):
        change_interval(first, second, [3, 3])


def test_frames_are_shuffled_and_segments_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Published: frames in the order of their files, and one block of them held out, whatever segments it cuts."""
    from vla_datasets.lerobot.windows import Windows
    from vla_training.loop import train

    data = tmp_path / "data"
    data.mkdir()
    written = write_frames(data, episodes=5, length=4)
    seen: list[list[int]] = []
    plain = Windows.batch

    def watched(self: Windows, numbers: Any) -> Any:
        found = plain(self, numbers)
        for state in found[STATE][:, 0]:
            seen[-1].append(int(np.flatnonzero((written[STATE] == state).all(axis=(1, 2)))[0]))
        return found

    monkeypatch.setattr(Windows, "batch", watched)

    def step(number: int, values: Any) -> None:
        seen.append([])

    seen.append([])
    train(head_run(tmp_path, "--validate-every", "8", "--save-every", "8"), data, tmp_path / "run", progress=step)
    trained, held_out = [batch[:4] for batch in seen[:8]], seen[7][4:]
    first, second = np.ravel(trained[:4]).tolist(), np.ravel(trained[4:]).tolist()
    assert sorted(first) == sorted(second) == list(range(16))  # each frame of four segments, once an epoch
    assert first != sorted(first) and first != second
    assert len({number // 4 for number in trained[0]}) > 1
    assert held_out == [16, 17, 18, 19]
