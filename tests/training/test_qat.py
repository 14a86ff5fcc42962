"""Quantization-aware training through the commands: start from a float run, resume, export, compile, act."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import vlarun
from vla_models.errors import PolicyError
from vla_training.cli import main
from vla_training.config.load import load_config
from vla_training.errors import TrainConfigError

CONFIG = dataclasses.replace(load_config("debug"), steps=4, save_every=2, learning_rate=1e-3, warmup_steps=1)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def qat(tmp_path_factory: pytest.TempPathFactory, data: Path, run: Path) -> Path:
    from vla_training.loop import train

    folder = tmp_path_factory.mktemp("qat")
    train(dataclasses.replace(CONFIG, init_from=str(run), qat=True), data, folder)
    return folder


def test_a_resumed_run_equals_an_uninterrupted_one(data: Path, run: Path, qat: Path, tmp_path: Path) -> None:
    from vla_training.loop import train

    config = dataclasses.replace(CONFIG, init_from=str(run), qat=True)
    for stop in (3, None):
        train(config, data, tmp_path, stop_after=stop)
    assert _files(tmp_path / "checkpoints/000004") == _files(qat / "checkpoints/000004")


def test_it_starts_at_the_float_weights_and_moves(run: Path, qat: Path) -> None:
    from safetensors.torch import load_file

    weights = "checkpoints/last/pretrained_model/model.safetensors"
    before, after = load_file(run / weights), load_file(qat / weights)
    for name, value in before.items():
        moved = (after[f"graph.weights.{name.replace('.', '/')}"] - value).abs().max()
        assert 0 < float(moved) < 0.05, name


def test_its_export_compiles_without_calibration_to_what_it_computes(qat: Path, tmp_path: Path) -> None:
    from vla_models.saved import load_policy
    from vla_toolchain.vlac_cli import main as vlac

    model, program = str(tmp_path / "m.onnx"), str(tmp_path / "prog.bin")
    assert main(["export", "--policy", str(qat), "-o", model]) == 0
    assert vlac(["compile", model, "--config", "tiny", "-o", program]) == 0
    policy = load_policy(qat / "checkpoints/last/pretrained_model")
    inputs = policy.graphs()[0].example(16, seed=3)
    found = policy(*inputs.values()).detach().numpy()
    session = vlarun.Session(program, backend="sim")
    for row in range(16):
        one = {name: value[row : row + 1].numpy() for name, value in inputs.items()}
        assert np.array_equal(session.run(one)["action_logits"], found[row : row + 1])


def test_it_acts_as_its_program_does(qat: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from vla_toolchain.vlac_cli import main as vlac

    assert main(["export", "--policy", str(qat), "-o", str(tmp_path / "m.onnx")]) == 0
    assert vlac(["compile", str(tmp_path / "m.onnx"), "--config", "tiny", "-o", str(tmp_path / "prog.bin")]) == 0
    results = []
    for path in (qat, tmp_path / "prog.bin"):
        out = tmp_path / "result.json"
        arguments = [
            "evaluate",
            str(path),
            "--level",
            CONFIG.level,
            "--episodes",
            "2",
            "--workers",
            "1",
            "-o",
            str(out),
        ]
        assert main(arguments) == 0
        results.append([episode["actions"] for episode in json.loads(out.read_text())["results"]])
    assert results[0] == results[1]


def test_float_training_goes_on_from_a_saved_policy(data: Path, run: Path, tmp_path: Path) -> None:
    from vla_models.saved import load_policy
    from vla_training.checkpoint import pretrained_folder
    from vla_training.first_policy import first_policy

    policy = first_policy(dataclasses.replace(CONFIG, init_from=str(run)), data)
    saved = load_policy(pretrained_folder(run)).state_dict()
    assert all(np.array_equal(value, saved[name]) for name, value in policy.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"qat": True}, "'qat' needs 'init_from'"),
        ({"qat": True, "init_from": "x", "precision": "bf16"}, "'precision' is 'bf16'"),
    ],
)
def test_a_config_that_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(TrainConfigError, match=message):
        dataclasses.replace(CONFIG, **changes)


def test_another_saved_policy_is_refused(data: Path, run: Path, qat: Path, tmp_path: Path) -> None:
    from vla_training.first_policy import first_policy

    wider = dataclasses.replace(CONFIG.policy_options, hidden=CONFIG.policy_options.hidden + 1)
    with pytest.raises(TrainConfigError, match=r"'policy_options.hidden' is \d+, and that of .* is \d+"):
        first_policy(dataclasses.replace(CONFIG, init_from=str(run), policy_options=wider), data)
    with pytest.raises(TrainConfigError, match="a quantized policy; it goes on with 'qat' only"):
        first_policy(dataclasses.replace(CONFIG, init_from=str(qat)), data)
    config = qat / "checkpoints/last/pretrained_model/config.json"
    damaged = json.loads(config.read_text()) | {"graph": "QUJD"}
    (tmp_path / "config.json").write_text(json.dumps(damaged))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(PolicyError, match="damaged"):
        first_policy(dataclasses.replace(CONFIG, init_from=str(tmp_path), qat=True), data)
