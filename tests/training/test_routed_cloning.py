"""Training with a router: noise only in the first part, experts kept in use, numbers to watch, the cache of tiles."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from vla_models.draws import Draws
from vla_training.config.load import load_config
from vla_training.errors import TrainConfigError
from vla_training.loggers import read_log
from vla_training.objectives.routed_cloning import RoutedCloning

SMALL = ["--steps", "4", "--batch-size", "8", "--warmup-steps", "1", "--log-every", "1", "--save-every", "2"]
SMALL += ["--validate-every", "4", "--policy-options.hidden", "32", "--level", "GoToObj"]


def test_noise_is_for_the_first_third() -> None:
    from watched import Watched, batch, torch

    policy = Watched(torch.zeros(1, 2, 4))
    for progress in (0.0, 0.2, 0.329, 0.33, 0.75, 1.0):
        RoutedCloning().loss(policy, batch(progress=progress), Draws(torch.Generator()))
    assert policy.noises == [0.3, 0.3, 0.3, 0.0, 0.0, 0.0]


def test_use_and_entropy_of_the_router() -> None:
    from watched import Watched, batch, torch

    # layer 0 undecided, layer 1 nearly sure of expert 2
    policy = Watched(torch.tensor([[[0.0] * 4, [-30.0, -30.0, 30.0, -30.0]]]))
    loss, values = RoutedCloning(balance=2.0).loss(policy, batch(), Draws(torch.Generator()))
    assert values["router_entropy"].item() == pytest.approx(math.log(4) / 2)
    assert [values[f"use_1_{n}"].item() for n in range(4)] == [0.0, 0.0, 1.0, 0.0]
    unequal = 4 * (0.25 + 1.0) / 2  # both layers give all to one expert, of probability 1/4 and 1
    assert values["imbalance"].item() == pytest.approx(unequal)
    assert loss.item() == pytest.approx(math.log(7) + 2.0 * unequal)


def test_balance_takes_probability_from_the_expert_that_gets_more() -> None:
    """The loss and its gradient by hand: three of four samples go to expert 1, one to expert 0."""
    from watched import Watched, batch, torch

    logits = [[0.1, 0.3], [0.1, 0.3], [-2.0, 1.0], [0.5, 0.0]]
    policy = Watched(torch.tensor(logits)[:, None])
    loss, values = RoutedCloning(balance=0.5).loss(policy, batch(4), Draws(torch.Generator()))
    loss.backward()
    first = [math.exp(a) / (math.exp(a) + math.exp(b)) for a, b in logits]  # probability of expert 0
    mean = sum(first) / 4
    assert values["imbalance"].item() == pytest.approx(2 * (0.25 * mean + 0.75 * (1 - mean)))
    for p, (one, other) in zip(first, policy.routes.grad[:, 0].tolist(), strict=True):
        assert one == pytest.approx(0.5 * 2 * (0.25 - 0.75) * p * (1 - p) / 4) and other == pytest.approx(-one)


def test_equal_use_has_no_gradient() -> None:
    from watched import Watched, batch, torch

    policy = Watched(torch.eye(4).mul(0.01)[:, None])  # undecided, but each expert gets a quarter
    loss, values = RoutedCloning().loss(policy, batch(4), Draws(torch.Generator()))
    loss.backward()
    assert values["imbalance"].item() == pytest.approx(1.0) and policy.routes.grad.abs().max() < 1e-7


@pytest.mark.parametrize("options", [{"balance": -1.0}, {"noise": math.nan}, {"noise_until": 1.5}])
def test_bad_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(TrainConfigError, match=f"'{next(iter(options))}' is"):
        RoutedCloning(**options)


def test_ablations_are_options_of_the_command() -> None:
    for option, name, value in (("experts 1", "experts", 1), ("kept 256", "kept", 256), ("no-film", "film", False)):
        config = load_config("goto_local_moe", f"--policy-options.{option}".split())
        assert getattr(config.policy_options, name) == value


def test_a_policy_without_a_router_is_refused(data: Path, tmp_path: Path) -> None:
    from vla_training.loop import train

    config = load_config("debug", ["--objective", "routed_cloning"])
    with pytest.raises(TrainConfigError, match=r"takes a policy with a router .*Choose another 'objective'"):
        train(config, data, tmp_path)


def test_a_policy_without_tiles_is_refused(data: Path, tmp_path: Path) -> None:
    from vla_training.loop import train

    with pytest.raises(TrainConfigError, match="'tile_cache' is on; policy 'babyai_cnn' takes images"):
        train(load_config("debug", ["--tile-cache"]), data, tmp_path)


def test_a_run_with_noise_goes_on_to_the_same_bytes(data: Path, tmp_path: Path) -> None:
    from vla_training.checkpoint import pretrained_folder
    from vla_training.loop import train

    config = load_config("goto_local_moe", SMALL)
    train(config, data, tmp_path / "whole")
    for stop in (1, 3, None):
        train(config, data, tmp_path / "parts", stop_after=stop)
    whole, parts = (pretrained_folder(tmp_path / run) / "model.safetensors" for run in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()
    entry = read_log(tmp_path / "whole/train.jsonl")[-1]
    assert sum(entry[f"validation_use_0_{n}"] for n in range(4)) == pytest.approx(1.0)
    assert {"router_entropy", "validation_router_entropy", "imbalance"} <= set(entry)


def test_tiles_train_as_pixels_do(data: Path, tmp_path: Path) -> None:
    from vla_training.loop import train

    config = load_config("goto_local_film", SMALL)
    losses = []
    for name, cached in (("tiles", True), ("pixels", False)):
        train(dataclasses.replace(config, tile_cache=cached), data, tmp_path / name)
        losses.append([entry["loss"] for entry in read_log(tmp_path / name / "train.jsonl")])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
