"""Checkpoints that are damaged, mixed or of another run; weights that are no numbers; two runs in one folder."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_isa.errors import OutputError
from vla_isa.files import alone
from vla_training.config.load import load_config
from vla_training.errors import CheckpointError, TrainConfigError
from vla_training.loggers import JsonlLogger, read_log

CONFIG = dataclasses.replace(load_config("debug"), steps=6, save_every=2)
STATE, OPTIMIZER = "training_state/state.json", "training_state/optimizer.safetensors"
WEIGHTS = "pretrained_model/model.safetensors"


@pytest.fixture(scope="module")
def stopped(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that stopped at step 4, with checkpoints 2 and 4."""
    from vla_training.loop import train

    folder = tmp_path_factory.mktemp("stopped")
    train(CONFIG, data, folder, stop_after=4)
    return folder


def _edit(**changes: Any) -> Callable[[Path], None]:
    def edit(checkpoint: Path) -> None:
        path = checkpoint / STATE
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return edit


def _without_a_moment(checkpoint: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(checkpoint / OPTIMIZER)
    del tensors["0.exp_avg"]
    save_file(tensors, checkpoint / OPTIMIZER)


def _flip_a_bit(checkpoint: Path) -> None:
    data = bytearray((checkpoint / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (checkpoint / WEIGHTS).write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda c: (c / STATE).unlink(), "No such file"),
        (lambda c: (c / STATE).write_text("[" * 100_000), "nested too deep"),
        (lambda c: (c / STATE).write_text("[]"), "list indices"),
        (lambda c: shutil.rmtree(c / "training_state"), "No such file"),
        (lambda c: shutil.rmtree(c), "No such file"),
        (lambda c: (c / OPTIMIZER).unlink(), "optimizer.safetensors is missing"),
        (lambda c: shutil.copy(c.parent / "000002" / OPTIMIZER, c / OPTIMIZER), "of another checkpoint"),
        (_without_a_moment, "optimizer.safetensors is not as it was written"),
        (_flip_a_bit, "pretrained_model/model.safetensors is not as it was written"),
        (_edit(step=10**30), "its step is 10+, and its folder is called '000004'"),
        (_edit(step=-3), "its step is -3"),
        (_edit(best={"step": "../../x", "score": 1}), "invalid literal"),
        (_edit(files=None), "is not a mapping"),
    ],
)
def test_a_damaged_checkpoint_is_refused_and_kept(
    stopped: Path, data: Path, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    """It is not begun again from step 0 over what is there."""
    from vla_training.loop import train

    run = tmp_path / "run"
    shutil.copytree(stopped, run, symlinks=True)
    damage(run / "checkpoints/000004")
    before = sorted(run.rglob("*"))
    with pytest.raises(CheckpointError, match=f"000004 cannot be resumed: .*{message}"):
        train(CONFIG, data, run)
    assert sorted(run.rglob("*")) == before


def test_what_differs_between_two_runs_is_named(stopped: Path, data: Path) -> None:
    from vla_training.loop import train

    options = dataclasses.replace(CONFIG.policy_options, hidden=32)
    other = dataclasses.replace(CONFIG, steps=10, policy_options=options)
    with pytest.raises(CheckpointError, match=r"'policy_options.hidden' is 16, now 32; 'steps' is 6, now 10\. Train"):
        train(other, data, stopped)


def test_a_checkpoint_from_before_a_key_goes_on_with_its_default(stopped: Path, data: Path, tmp_path: Path) -> None:
    from vla_training.loop import train

    run = tmp_path / "run"
    shutil.copytree(stopped, run, symlinks=True)
    path = run / "checkpoints/last/training_state/state.json"
    state = json.loads(path.read_text())
    for name in ("balance", "tile_cache"):
        del state["config"][name]
    del state["config"]["objective_options"]["label_smoothing"]
    path.write_text(json.dumps(state))
    with pytest.raises(CheckpointError, match="'tile_cache' is False, now True"):
        train(dataclasses.replace(CONFIG, tile_cache=True), data, run)
    hidden = state["config"]["policy_options"].pop("hidden")
    path.write_text(json.dumps(state))
    with pytest.raises(CheckpointError, match=r"'policy_options.hidden' is \d+, now 16\. "):
        train(CONFIG, data, run)
    state["config"]["policy_options"]["hidden"] = hidden
    del state["config"]["level"]  # which has none
    path.write_text(json.dumps(state))
    with pytest.raises(CheckpointError, match="'level' is not there, now GoToObj"):
        train(CONFIG, data, run)
    state["config"]["level"] = CONFIG.level
    path.write_text(json.dumps(state))
    assert train(CONFIG, data, run).parent.name == "last"


def test_the_newest_checkpoints_stay_at_a_million_steps(stopped: Path, data: Path, tmp_path: Path) -> None:
    import torch

    from vla_models.registry import find_policy
    from vla_training.checkpoint import TrainingState, last_checkpoint, save_checkpoint

    spec = find_policy(CONFIG.policy)
    policy = spec.make(CONFIG.policy_options)
    state = TrainingState(CONFIG.policy, policy, torch.optim.AdamW(policy.parameters()), None, None, {}, "")
    for step in (999_998, 999_999, 1_000_000):
        save_checkpoint(tmp_path, step, state, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1000000", "999999", "last"]
    assert last_checkpoint(tmp_path) == tmp_path / "1000000"


@dataclass(frozen=True)
class Kinked:
    """A loss that is 0 and has no gradient: the root of 0."""

    def loss(self, policy: Any, batch: Any, draws: Any) -> tuple[Any, Mapping[str, Any]]:
        return (policy(*batch.inputs.values()) * 0).sum().sqrt(), {}


def test_weights_that_are_no_numbers_are_never_saved(data: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    from vla_training.loop import train

    config = dataclasses.replace(CONFIG, steps=1, save_every=1, objective_options=Kinked())
    with pytest.raises(TrainConfigError, match="'gradient_norm' is nan at step 1; lower 'learning_rate'"):
        train(config, data, tmp_path / "kinked")
    assert not list((tmp_path / "kinked").rglob("*.safetensors"))
    with pytest.raises(TrainConfigError, match=r" is (nan|inf) at step "):
        train(dataclasses.replace(CONFIG, learning_rate=1e30, save_every=1, warmup_steps=0), data, tmp_path / "steep")
    for path in (tmp_path / "steep").rglob("model.safetensors"):
        assert all(np.isfinite(tensor).all() for tensor in load_file(path).values())


def test_two_runs_in_one_folder_and_what_a_killed_one_left(stopped: Path, data: Path, tmp_path: Path) -> None:
    from vla_training.loop import train

    run = tmp_path / "run"
    shutil.copytree(stopped, run, symlinks=True)
    (run / "checkpoints/.saving-abc").mkdir()
    with alone(run, "trains"), pytest.raises(OutputError, match="another process trains there; give another folder"):
        train(CONFIG, data, run)
    train(CONFIG, data, run)
    assert not list((run / "checkpoints").glob(".saving-*"))


def test_a_full_disk_is_a_refusal(stopped: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors import SafetensorError

    from vla_training import checkpoint
    from vla_training.loop import train

    def full(*arguments: object) -> None:
        raise SafetensorError("No space left on device")

    run = tmp_path / "run"
    shutil.copytree(stopped, run, symlinks=True)
    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OutputError, match="000006' cannot be written: No space left on device"):
        train(CONFIG, data, run)
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["000002", "000004", "best", "last"]


@pytest.mark.parametrize("line", [b"3", b"{}", b"\xff\xfe", b'{"step": "a"}', b'{"step": 2, "lo', b"[" * 100_000])
def test_a_damaged_log_loses_the_damaged_line(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b'{"step": 1, "loss": 3.0}\n' + line + b'\n{"step": 3, "loss": 1.0}\n')
    JsonlLogger(path, resumed_step=3).close()
    assert read_log(path) == [{"step": 1, "loss": 3.0}, {"step": 3, "loss": 1.0}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--batch-size", "512"], r"'batch_size' is 512, more than the \d+ frames"),
        (["--batch-size", "512", "--accumulate", "256"], r"'batch_size' is 512, more than the \d+ frames"),
        (["--objective", "mean_squared_error"], r"gives \(8, 7\), the actions to learn are \(8,\)"),
        # seven actions, seven frames: shapes that broadcast
        (
            ["--objective", "mean_squared_error", "--batch-size", "7"],
            r"gives \(7, 7\), the actions to learn are \(7,\)",
        ),
        (["--validate-episodes", "1", "--level", "GoToObb"], "Did you mean 'GoToObj'"),
        (["--validate-episodes", "1", "--world", "nowhere"], "Unknown world 'nowhere'"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_step(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    import re

    from vla_training.cli import main

    assert main(["train", "--config", "debug", "--data", str(data), "--out", str(tmp_path / "run"), *options]) == 1
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "run/checkpoints").exists()
