"""RDT's objective: what counts, what is left out, and whose its randomness is; a run that learns and resumes."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rdt_samples import CAMERA, PLACES, SIDE, SMALL, TASK, episode, write_sentences
from vla_datasets.keys import ACTION, STATE
from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.lerobot.writer import Episode, write_dataset
from vla_models.draws import Draws
from vla_models.policy import Batch
from vla_models.registry import find_policy
from vla_training.config.load import load_config
from vla_training.config.run import TrainConfig
from vla_training.errors import TrainConfigError
from vla_training.objectives.rdt import RdtObjective

N = 400


def generator(seed: int = 0) -> Any:
    import torch

    return torch.Generator().manual_seed(seed)


def draws(seed: int = 0) -> Any:
    return Draws(generator(seed))


def batch_of(folder: Path, count: int = N) -> tuple[Any, Any]:
    """A policy and a batch of random numbers, as its `prepare` makes it."""
    import torch

    from vla_models.rdt.batches import RdtBatch, absent_conditions
    from vla_models.rdt.sentences import Sentences
    from vla_models.rdt.vectors import state_spread

    spec = find_policy("rdt")
    options = {"embeddings": str(write_sentences(folder)), "state_mean": [0.3] * 14, "state_std": [0.2] * 14}
    policy = spec.make(spec.configured(SMALL | options))
    inputs = policy._example(count)
    absent = absent_conditions(policy.config, Sentences(policy.config))
    chunk = torch.randn(inputs["noise"].shape, generator=generator(1)) * inputs["mask"][:, None]
    spread = torch.from_numpy(state_spread(policy.config))
    return policy, RdtBatch(inputs, chunk, absent=absent, state_spread=spread)


class Heard:
    """A policy that keeps what it is asked, and says zeros."""

    def __call__(self, *inputs: Any) -> Any:
        self.inputs = inputs
        return inputs[-2] * 0


def test_places_that_the_robot_has_not_count_for_nothing(tmp_path: Path) -> None:
    """Published: the mean over all 128, nine tenths of which are zeros to learn."""
    _, batch = batch_of(tmp_path)
    loss, watched = RdtObjective().loss(Heard(), batch, draws())  # type: ignore[arg-type]
    inside = batch.target[..., list(PLACES)]
    assert float(loss) == pytest.approx(float(inside.square().mean()), rel=1e-5)
    assert float(watched["variance"]) == pytest.approx(float(inside.var()), rel=1e-5)
    outside = batch.target.clone()
    outside[..., 20:30] = 7.0
    assert loss == RdtObjective().loss(Heard(), dataclasses.replace(batch, target=outside), draws())[0]  # type: ignore[arg-type]


def test_chunks_on_their_way(tmp_path: Path) -> None:
    """As the samplers' schedule has them; where the robot has no value there is no noise."""
    from vla_models.sampling.noise_schedule import signal

    _, batch = batch_of(tmp_path)
    heard = Heard()
    RdtObjective().loss(heard, batch, draws())  # type: ignore[arg-type]
    way, time = heard.inputs[-2].numpy(), heard.inputs[-1].numpy()
    left = signal()[np.round(time * 1000).astype(int)]
    assert time.min() < 0.01 and time.max() > 0.99 and abs(time.mean() - 0.5) < 0.05
    noise = (way - np.sqrt(left)[:, None, None] * batch.target.numpy()) / np.sqrt(1 - left)[:, None, None]
    assert abs(noise[..., list(PLACES)].std() - 1) < 0.02 and not np.delete(way, PLACES, axis=2).any()


def test_each_condition_is_left_out_of_a_tenth(tmp_path: Path) -> None:
    policy, batch = batch_of(tmp_path)
    heard = Heard()
    RdtObjective(state_snr=300.0).loss(heard, batch, draws())  # type: ignore[arg-type]
    found = dict(zip(batch.inputs, heard.inputs, strict=False))
    rows = policy._sentences("")
    empty = {
        "language": rows[0],
        "language_mask": rows[1],
        "image_top": 0.0,
        "state": np.where(np.isin(np.arange(128), PLACES), np.float32(0.3), 0)[None],
        "mask": 0.0,
        "frequency": np.repeat([1.0, 0.0], 128)[None],  # waves of 0 Hz
    }
    gone = {}
    for name, absent in empty.items():
        plain, value = batch.inputs[name].numpy(), found[name].numpy()
        axes = tuple(range(1, value.ndim))
        gone[name] = (value == np.float32(absent)).all(axis=axes)
        assert 0.05 < gone[name].mean() < 0.15, name
        assert np.array_equal(value[~gone[name]], plain[~gone[name]]), name
    assert (gone["language"] == gone["language_mask"]).all()
    assert all((gone["state"] != gone[n]).any() for n in ("language", "image_top", "mask", "frequency"))
    RdtObjective(drop=0.0, state_snr=300.0).loss(heard, batch, draws())  # type: ignore[arg-type]
    assert all(bool((a == b).all()) for a, b in zip(heard.inputs[:6], batch.inputs.values(), strict=False))


def test_noise_of_the_state(tmp_path: Path) -> None:
    """40 dB below the data's deviation, and none where the robot has no value."""
    _, batch = batch_of(tmp_path)
    heard = Heard()
    RdtObjective(drop=0.0).loss(heard, batch, draws())  # type: ignore[arg-type]
    noise = (heard.inputs[0] - batch.inputs["state"]).numpy()
    assert abs(noise[:, list(PLACES)].std() / (0.2 * 0.01) - 1) < 0.05
    assert not np.delete(noise, PLACES, axis=1).any()


def test_all_randomness_is_the_generator_s(tmp_path: Path) -> None:
    import torch

    policy, batch = batch_of(tmp_path, 16)
    with torch.no_grad():
        for weight in policy.parameters():
            weight += 0.05 * torch.randn_like(weight)
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(losses))
        losses.append(RdtObjective().loss(policy, batch, draws(seed))[0].item())
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("normalize", [False, True])
def test_numbers_of_samples(tmp_path: Path, normalize: bool) -> None:
    """Of a policy whose sampler is off by a known step of each joint; what the size of its state is tells l2err."""
    import torch

    policy, batch = batch_of(tmp_path, 4)
    config = dataclasses.replace(policy.config, normalize=normalize, action_std=(3.0,) * 14)
    asked: list[Any] = []

    class Sampler:
        """Stands for the policy: 0.5 too much, in the network's units."""

        def graphs(self) -> Any:
            def module(*inputs: Any) -> Any:
                asked.append(inputs)
                return batch.target + 0.5

            return (type("Graph", (), {"module": staticmethod(module)}),)

    Sampler.config = config  # type: ignore[attr-defined]
    found = RdtObjective().sampled(Sampler(), batch, draws())
    off = 1.5 if normalize else 0.5
    assert found["mse"] == pytest.approx(off**2, rel=1e-4)
    assert found["l2err"] == pytest.approx(off / ((0.3**2 + 0.2**2) ** 0.5 + 1e-3), rel=1e-4)
    noise = asked[0][list(batch.inputs).index("noise")]
    assert not torch.equal(noise, batch.inputs["noise"]) and not np.delete(noise.numpy(), PLACES, axis=2).any()


def test_mistakes(tmp_path: Path) -> None:
    policy, batch = batch_of(tmp_path, 2)
    with pytest.raises(TrainConfigError, match=r"takes a policy with conditions .*Choose policy 'rdt'"):
        RdtObjective().loss(policy, Batch(batch.inputs, batch.target), draws())
    for options, said in (({"drop": 1.0}, "'drop' is 1.0"), ({"state_snr": float("nan")}, "'state_snr' is nan")):
        with pytest.raises(TrainConfigError, match=said):
            RdtObjective(**options)


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig[Any, Any]:
    """A run on a data set of episodes as `rdt_samples` makes them, in `tmp_path / "data"`."""
    features = {
        STATE: Feature("float32", (14,)),
        CAMERA: Feature("image", (SIDE, SIDE, 3), ("height", "width", "channels")),
        ACTION: Feature("float32", (14,)),
        **BOOKKEEPING,
    }
    episodes = []
    for number in range(6):
        frames = episode(10, number)
        columns = {STATE: list(frames[STATE]), ACTION: list(frames[ACTION]), CAMERA: [png(p) for p in frames[CAMERA]]}
        episodes.append(Episode(number, TASK, columns))
    write_dataset(tmp_path / "data", [episodes], features, 25, "test", {"train": (0, 5), "val": (5, 6)}, {})
    loaded = load_config("aloha_rdt")
    options = SMALL | {"embeddings": str(write_sentences(tmp_path / "text"))}
    policy = dataclasses.replace(loaded.policy_options, **options)
    return dataclasses.replace(
        loaded, policy_options=policy, steps=4, batch_size=8, save_every=1, validate_every=2, threads=1
    )


def log_of(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "train.jsonl").read_text().splitlines()]


def test_a_run_that_stops_ends_with_the_same_bytes(config: TrainConfig[Any, Any], tmp_path: Path) -> None:
    from vla_models.saved import load_config as saved_config
    from vla_training.loop import train

    train(config, tmp_path / "data", tmp_path / "whole")
    for stop in (1, 3, None):
        folder = train(config, tmp_path / "data", tmp_path / "parts", stop_after=stop)
    for name in ("pretrained_model/model.safetensors", "training_state/model.safetensors"):
        parts = [tmp_path / run / "checkpoints" / "last" / name for run in ("whole", "parts")]
        assert parts[0].read_bytes() == parts[1].read_bytes()
    assert saved_config(folder)[1].encoder == "random@0"


def test_a_run_goes_on_with_its_own_sentences_only(config: TrainConfig[Any, Any], tmp_path: Path) -> None:
    from vla_training.errors import CheckpointError
    from vla_training.loop import train

    train(config, tmp_path / "data", tmp_path / "run", stop_after=1)
    shutil.rmtree(tmp_path / "text")
    write_sentences(tmp_path / "text", encoder="another@1")
    with pytest.raises(CheckpointError, match="the policy's options were others: 'encoder' is random@0, now another@1"):
        train(config, tmp_path / "data", tmp_path / "run")


def test_the_loss_falls_and_averaged_weights_are_used(config: TrainConfig[Any, Any], tmp_path: Path) -> None:
    """Published: averaged weights are kept, and never used. They start with those of now, and then change slowly."""
    import torch
    from safetensors.torch import load_file

    from vla_training.loop import train

    longer = dataclasses.replace(config, steps=60, batch_size=32, save_every=30, validate_every=30, log_every=1)
    run = tmp_path / "run"
    folder = train(dataclasses.replace(longer, warmup_steps=5, learning_rate=3e-3), tmp_path / "data", run)
    losses = [entry["loss"] for entry in log_of(run)]
    sampled = [entry["aloha_sample_mse"] for entry in log_of(run) if "aloha_sample_mse" in entry]
    assert len(sampled) == 2 and sampled[1] < sampled[0]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5]), losses
    used = load_file(folder / "model.safetensors")
    trained = load_file(folder.parent / "training_state" / "model.safetensors")
    assert not torch.equal(used["blocks.0.own.o.weight"], trained["blocks.0.own.o.weight"])


def test_averaging_warms_up(config: TrainConfig[Any, Any], tmp_path: Path) -> None:
    """As diffusers' EMAModel: at update n the decay is 1 - (1 + n) ** -0.75, at most 0.9999."""
    from safetensors.torch import load_file

    from vla_training.loop import train

    fast = dataclasses.replace(config, keep_checkpoints=9, learning_rate=1e-2, warmup_steps=0)
    train(fast, tmp_path / "data", tmp_path)
    folders = [tmp_path / "checkpoints" / f"{step:06d}" for step in (1, 2, 3, 4)]
    name = "blocks.0.own.o.weight"
    mean = None
    for number, folder in enumerate(folders):
        now = load_file(folder / "training_state" / "model.safetensors")[name].double()
        decay = 0.0 if mean is None else 1 - (1 + number) ** -0.75
        mean = now if mean is None else decay * mean + (1 - decay) * now
        found = load_file(folder / "pretrained_model" / "model.safetensors")[name].double()
        assert np.allclose(found, mean, rtol=1e-5, atol=1e-8)
    with pytest.raises(TrainConfigError, match=r"'ema_power' is 0.75 and 'ema_decay' 0; nothing is averaged"):
        dataclasses.replace(config, ema_decay=0.0)
    with pytest.raises(TrainConfigError, match=r"'ema_power' is -1.0"):
        dataclasses.replace(config, ema_power=-1.0)
