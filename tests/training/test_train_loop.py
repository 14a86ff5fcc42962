"""Training: exact resume, no leakage between splits, what the loop refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from vla_datasets.demonstrate import demonstrate
from vla_datasets.errors import CollectError
from vla_datasets.worlds.registry import find_world
from vla_models.babyai_cnn.preprocess import BabyAIPreprocessor
from vla_training.config.load import config_names, load_config
from vla_training.errors import CheckpointError, TrainConfigError
from vla_training.loggers import JsonlLogger, read_log

CONFIG = dataclasses.replace(load_config("debug"), steps=6, save_every=2, keep_checkpoints=2)


HEAD = "world = 'babyai'\nlevel = 'GoToObj'\npolicy = 'babyai_cnn'\nobjective = 'behaviour_cloning'\n"


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
    assert names in (["000004", "000006", "best", "last"], ["000002", "000004", "000006", "best", "last"])
    losses = [[e["loss"] for e in read_log(tmp_path / run / "train.jsonl")] for run in ("whole", "parts")]
    assert losses[0] == losses[1] and len(losses[0]) == 6
    starts = (tmp_path / "parts/environment.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in starts] == [0, 1, 3, 4]


@pytest.mark.parametrize(
    "changes",
    [{"ema_decay": 0.9}, {"accumulate": 2}, {"precision": "bf16", "ema_decay": 0.5, "validate_episodes": 2}],
    ids=["averaged", "accumulated", "bf16 and played"],
)
def test_resume_is_exact_with(data: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    from vla_training.loop import train

    config = dataclasses.replace(CONFIG, steps=4, **changes)
    train(config, data, tmp_path / "whole")
    for stop in (1, 2, None):
        train(config, data, tmp_path / "parts", stop_after=stop)
    last = "checkpoints/000004"
    assert _files(tmp_path / "whole" / last) == _files(tmp_path / "parts" / last)
    assert _best(tmp_path / "whole") == _best(tmp_path / "parts")


def _best(run: Path) -> str:
    return (run / "checkpoints" / "best").resolve().name


def test_averaged_weights_are_the_mean_that_was_asked_for(data: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from vla_training.loop import train

    config = dataclasses.replace(CONFIG, steps=3, save_every=1, keep_checkpoints=3, ema_decay=0.75)
    train(config, data, tmp_path)
    folders = [tmp_path / "checkpoints" / f"{step:06d}" for step in (1, 2, 3)]
    trained = [load_file(f / "training_state" / "model.safetensors")["head.weight"].double() for f in folders]
    wanted = 0.75 * (0.75 * trained[0] + 0.25 * trained[1]) + 0.25 * trained[2]
    found = load_file(folders[2] / "pretrained_model" / "model.safetensors")["head.weight"].double()
    assert np.allclose(found, wanted, rtol=1e-6, atol=1e-9) and not np.allclose(found, trained[2], atol=1e-5)


def test_a_batch_in_parts_has_the_gradient_of_the_whole(data: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from vla_training.loop import train

    weights = []
    for parts in (1, 4):
        config = dataclasses.replace(CONFIG, steps=2, batch_size=32, accumulate=parts)
        folder = train(config, data, tmp_path / str(parts))
        weights.append({k: v.numpy() for k, v in load_file(folder / "model.safetensors").items()})
        losses = [entry["loss"] for entry in read_log(tmp_path / str(parts) / "train.jsonl")]
        assert losses == pytest.approx([1.9, 1.9], abs=0.4)
    for name, value in weights[0].items():
        assert np.allclose(value, weights[1][name], atol=2e-5), name


def test_the_best_checkpoint_is_kept(data: Path, tmp_path: Path) -> None:
    from vla_training.loop import train

    config = dataclasses.replace(
        CONFIG, steps=8, save_every=2, validate_every=2, keep_checkpoints=1, warmup_steps=8, learning_rate=0.8
    )
    train(config, data, tmp_path)
    losses = {e["step"]: e["validation_loss"] for e in read_log(tmp_path / "train.jsonl") if "validation_loss" in e}
    best = min(losses, key=lambda step: losses[step])
    assert best != 8, "the last one is kept anyway; choose another learning rate"
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == [f"{best:06d}", "000008", "best", "last"] and _best(tmp_path) == f"{best:06d}"


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


@pytest.mark.parametrize(("name", "other"), [("world", "driving"), ("level", "GoToLocal")])
def test_data_of_another_world_or_level_is_refused(data: Path, tmp_path: Path, name: str, other: str) -> None:
    from vla_training.loop import train

    found = {"world": "babyai", "level": "GoToObj"}[name]
    with pytest.raises(TrainConfigError, match=f"'{name}' is '{other}', and .* with '{found}'; give --{name} {found}"):
        train(dataclasses.replace(CONFIG, **{name: other}), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


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
    from vla_models.saved import load_policy
    from vla_training.checkpoint import pretrained_folder
    from vla_training.loop import train

    config = dataclasses.replace(CONFIG, steps=60, learning_rate=3e-3, save_every=60, batch_size=32)
    train(config, data, tmp_path)
    losses = [entry["loss"] for entry in read_log(tmp_path / "train.jsonl")]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    assert load_policy(pretrained_folder(tmp_path)).training is False


def test_batches_equal_the_robots_inputs(data: Path) -> None:
    import torch

    from vla_datasets.lerobot.windows import load_windows
    from vla_models.babyai_cnn.model import BabyAICnn
    from vla_training.validate import to_tensors

    frames = load_windows(data, "train", BabyAICnn.windows)
    policy = BabyAICnn(CONFIG.policy_options)
    spec = find_world("babyai")
    world = spec.make("GoToObj")
    number = 0
    for slot in range(3):
        episode = demonstrate(spec, world, 0, slot)
        observation, _ = world.reset(seed=episode.seed)
        preprocessor = BabyAIPreprocessor()
        preprocessor.reset(observation["task"])
        for action in episode.columns["action"]:
            batch = policy.prepare(to_tensors(frames.batch(np.array([number])), torch.device("cpu")))
            inputs = preprocessor.inputs(observation)
            assert list(batch.inputs) == list(inputs) and batch.target.item() == action
            for name, expected in inputs.items():
                assert np.array_equal(batch.inputs[name].numpy(), expected), name
            preprocessor.actions({"action_logits": np.eye(7)[[action]]})
            observation, *_ = world.step(action)
            number += 1


def test_sampler_visits_each_frame_once_per_epoch() -> None:
    from vla_training.sampler import EpochSampler

    sampler = EpochSampler(10, 3, seed=1)
    epochs = [np.concatenate([sampler.batch(e * 3 + s) for s in range(3)]) for e in range(2)]
    assert all(len(set(epoch.tolist())) == 9 for epoch in epochs)
    assert epochs[0].tolist() != epochs[1].tolist()
    assert EpochSampler(10, 3, seed=1).batch(4).tolist() == sampler.batch(4).tolist()
    with pytest.raises(TrainConfigError, match="'batch_size' is 8, more than the 2 frames"):
        EpochSampler(2, 8, seed=0)


def test_sampler_visits_a_frame_in_its_share_of_the_epochs() -> None:
    from vla_training.sampler import EpochSampler

    shares = np.array([0.1, 1.0, 0.55, 1.0, 0.0, 0.8, 1.0, 0.3, 0.25])  # 5 frames an epoch
    sampler, epochs = EpochSampler(9, 2, seed=1, shares=shares), 4000
    steps = np.array([sampler.batch(step) for step in range(2 * epochs)]).reshape(epochs, 4)
    assert all(len(set(epoch)) == 4 for epoch in steps.tolist())
    found = np.bincount(steps.ravel(), minlength=9) / epochs
    assert np.allclose(found, shares * 4 / shares.sum(), atol=0.04)
    assert found[4] == 0
    assert EpochSampler(9, 2, seed=1, shares=shares).batch(17).tolist() == sampler.batch(17).tolist()
    with pytest.raises(TrainConfigError, match="'batch_size' is 6, more than the 4 frames"):
        EpochSampler(9, 6, seed=0, shares=shares)


def test_a_world_without_balance_is_refused(data: Path, tmp_path: Path) -> None:
    from vla_training.loop import train

    with pytest.raises(CollectError, match="'balance' is 'command'; the world 'babyai' balances by nothing"):
        train(load_config("debug", ["--balance", "command"]), data, tmp_path)


def test_learning_rate_schedule() -> None:
    from vla_training.loop import learning_rate

    config = dataclasses.replace(CONFIG, steps=100, warmup_steps=10, learning_rate=1.0)
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
        ("", "policy, objective must be given"),
        (HEAD, "Missing from vla-train train: --episodes INT"),
        (HEAD + "episodes = 5\nstep = 3", "unknown key 'step'. Did you mean 'steps'"),
        (HEAD + "episodes = 'many'", "Error parsing --episodes: .* 'many'"),
        (HEAD + "episodes = 5.5", "Error parsing --episodes: .* '5.5'"),
        (HEAD + "episodes = 5\nsave_every = 700", "'validate_every' is 500 and 'save_every' 700; one must be a mult"),
        (HEAD + "episodes = 5\nsteps = 0", "'steps' is 0; it must be at least 1"),
        (HEAD + "episodes = 5\nlearning_rate = 0", "'learning_rate' is 0.0; it must be above 0"),
        (HEAD + "episodes = 5\nema_decay = 1.0", "'ema_decay' is 1.0"),
        (HEAD + "episodes = 5\naccumulate = 5", "not a multiple of 'accumulate'"),
        (HEAD + "episodes = 5\nlearning_rate = inf", "'learning_rate' is inf; it must be a finite number"),
        (HEAD + "episodes = 5\nweight_decay = nan", "'weight_decay' is nan"),
        (HEAD + "episodes = 5\nseed = 18446744073709551616", "'seed' is 18446744073709551616; it must be at most"),
        (HEAD + "episodes = 5\nthreads = 100000000000", "'threads' is 100000000000; it must be at most 1024"),
        (HEAD + "episodes = 5\nobjective_options = { label_smoothing = 2 }", "'label_smoothing' is 2.0; it must be"),
        ("x = " + "[" * 20_000, "not TOML: it is nested too deep"),
        (HEAD + "episodes = 5\nprecision = 'int8'", "invalid choice 'int8'"),
        (HEAD + "episodes = 5\npolicy_options = { depth = 3 }", "Unrecognized options: --policy-options.depth"),
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


def test_the_command_line_wins_over_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    from vla_training.cli import main

    options = ["--steps", "7", "--policy-options.channels", "4", "5", "6", "--objective=behaviour_cloning"]
    config = load_config("debug", options)
    assert (config.steps, config.policy_options.channels, config.policy_options.hidden) == (7, (4, 5, 6), 16)
    assert main(["train", "--config", "debug", "--options"]) == 0
    shown = capsys.readouterr().out
    assert "--policy-options.hidden INT" in shown and "(default: 16)" in shown
    assert all(f"--{name.replace('_', '-')}" in shown for name in dataclasses.asdict(config))
    assert max(map(len, shown.splitlines())) <= 80


def test_log_survives_half_a_line_and_drops_later_steps(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "loss": 3.0}\n{"step": 2, "loss": 2.0}\n{"step": 3, "lo')
    logger = JsonlLogger(path, resumed_step=1)
    logger.log(2, {"loss": 1.5})
    logger.close()
    assert read_log(path) == [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 1.5}]
