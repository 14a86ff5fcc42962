"""Training: exact resume, no leakage between splits, what the loop refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from vla_datasets.worlds.babyai.expert import collect_demonstration
from vla_models.babyai_cnn.preprocess import Preprocessor
from vla_training.config.run import TrainConfig, config_names, load_config
from vla_training.errors import CheckpointError, TrainConfigError
from vla_training.loggers import JsonlLogger, read_log

CONFIG = dataclasses.replace(load_config("debug"), steps=6, save_every=2, keep_checkpoints=2)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_resumed_run_equals_uninterrupted_bit_for_bit(data: Path, tmp_path: Path) -> None:
    import torch

    from vla_training.checkpoint import last_checkpoint
    from vla_training.loop import train

    train(CONFIG, data, tmp_path / "whole")
    for stop in (1, 3, 4, None):
        train(CONFIG, data, tmp_path / "parts", stop_after=stop)
        torch.manual_seed(99)  # whatever the process did in between must not matter
    whole = last_checkpoint(tmp_path / "whole/checkpoints")
    parts = last_checkpoint(tmp_path / "parts/checkpoints")
    assert whole is not None and parts is not None and whole.name == parts.name == "000006"
    assert _files(whole) == _files(parts)
    names = sorted(p.name for p in (tmp_path / "whole/checkpoints").iterdir())
    assert names == ["000004", "000006", "last"]
    losses = [[e["loss"] for e in read_log(tmp_path / run / "train.jsonl")] for run in ("whole", "parts")]
    assert losses[0] == losses[1] and len(losses[0]) == 6


def test_logs_have_held_out_numbers(run: Path) -> None:
    log = read_log(run / "train.jsonl")
    assert [entry["step"] for entry in log] == [1, 2]
    assert 0 <= log[-1]["validation_accuracy"] <= 1 and log[-1]["validation_loss"] > 0
    assert list((run / "tensorboard").iterdir())
    assert json.loads((run / "config.json").read_text())["level"] == "GoToObj"


def test_a_run_with_another_config_is_refused(data: Path, run: Path) -> None:
    from vla_training.loop import train

    with pytest.raises(CheckpointError, match="another training config"):
        train(dataclasses.replace(load_config("debug"), seed=5), data, run)


def test_damaged_checkpoint_is_refused(data: Path, tmp_path: Path) -> None:
    from vla_training.checkpoint import pretrained_folder
    from vla_training.loop import train

    train(CONFIG, data, tmp_path, stop_after=2)
    (tmp_path / "checkpoints/last/training_state/optimizer.safetensors").write_bytes(b"\0" * 40)
    with pytest.raises(CheckpointError, match="cannot be resumed"):
        train(CONFIG, data, tmp_path)
    with pytest.raises(CheckpointError, match="holds no saved policy"):
        pretrained_folder(tmp_path / "nothing")


def test_the_loss_goes_down(data: Path, tmp_path: Path) -> None:
    from vla_models.policy import load_policy
    from vla_training.checkpoint import pretrained_folder
    from vla_training.loop import train

    config = dataclasses.replace(CONFIG, steps=60, learning_rate=3e-3, save_every=60, batch_size=32)
    train(config, data, tmp_path)
    losses = [entry["loss"] for entry in read_log(tmp_path / "train.jsonl")]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    assert load_policy(pretrained_folder(tmp_path)).training is False


def test_batches_equal_the_robots_inputs(data: Path) -> None:
    from vla_datasets.worlds.babyai.environment import Environment
    from vla_training.frames import load_frames

    frames = load_frames(data, "train")
    environment = Environment("GoToObj")
    number = 0
    for episode in range(3):
        demonstration = collect_demonstration(environment, 0, episode)
        image = environment.reset(demonstration.seed)
        preprocessor = Preprocessor()
        preprocessor.reset(environment.mission)
        for action in demonstration.actions:
            inputs, target = frames.batch(np.array([number]))
            for made, expected in zip(inputs, preprocessor.inputs(image).values(), strict=True):
                assert np.array_equal(made.numpy(), expected)
            assert target.item() == action
            preprocessor.acted(action)
            image, _, _ = environment.step(action)
            number += 1


def test_sampler_visits_each_frame_once_per_epoch() -> None:
    from vla_training.frames import EpochSampler

    sampler = EpochSampler(10, 3, seed=1)
    epochs = [np.concatenate([sampler.batch(e * 3 + s) for s in range(3)]) for e in range(2)]
    assert all(len(set(epoch.tolist())) == 9 for epoch in epochs)
    assert epochs[0].tolist() != epochs[1].tolist()
    assert EpochSampler(10, 3, seed=1).batch(4).tolist() == sampler.batch(4).tolist()
    assert EpochSampler(2, 8, seed=0).batches_per_epoch == 1


def test_learning_rate_schedule() -> None:
    from vla_training.loop import learning_rate

    config = TrainConfig(level="GoToObj", episodes=10, steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == 1.0 and rates[-1] < 0.001
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_all_packaged_configs_load() -> None:
    assert {"goto_obj", "goto_red_ball", "goto_local", "debug"} <= set(config_names())
    for name in config_names():
        assert load_config(name).steps > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("level = 'GoToObj'", "episodes must be given"),
        ("level = 'GoToObj'\nepisodes = 5\nstep = 3", "unknown key 'step'. Did you mean 'steps'"),
        ("level = 'GoToObj'\nepisodes = 'many'", "'episodes' is 'many'; it must be of type int"),
        ("level = 'GoToObj'\nepisodes = 5\nsteps = 0", "'steps' is 0; it must be at least 1"),
        ("level = 'GoToObj'\nepisodes = 5\nlearning_rate = 0", "'learning_rate' is 0.0; it must be above 0"),
        ("level = ", "not TOML"),
    ],
)
def test_bad_configs_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(TrainConfigError, match=message):
        load_config(str(path))
    with pytest.raises(TrainConfigError, match="Did you mean 'goto_obj'"):
        load_config("goto_ob")


def test_log_survives_half_a_line_and_drops_later_steps(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "loss": 3.0}\n{"step": 2, "loss": 2.0}\n{"step": 3, "lo')
    logger = JsonlLogger(path, resumed_step=1)
    logger.log(2, {"loss": 1.5})
    logger.close()
    assert read_log(path) == [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 1.5}]
