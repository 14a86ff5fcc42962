"""ACT's objective: what is averaged, what it refuses, and that all of the autoencoder learns from it."""

from __future__ import annotations

from typing import Any

import pytest

from vla_models.act.names import CHUNK
from vla_models.draws import Draws
from vla_models.policy import Batch
from vla_models.registry import find_policy
from vla_training.errors import TrainConfigError
from vla_training.objectives.registry import find_objective

SMALL: dict[str, dict[str, Any]] = {
    "act": {"width": 16, "hidden": 24, "heads": 2, "encoder_layers": 2, "posterior_layers": 2, "latent": 4},
    "mlp_policy": {"width": 16, "blocks": 1},
    "pi_zero": {"depth": 1},
}


def generator(seed: int = 0) -> Any:
    import torch

    return torch.Generator().manual_seed(seed)


def draws(seed: int = 0) -> Any:
    return Draws(generator(seed))


def made(name: str, **options: Any) -> Any:
    import torch

    torch.manual_seed(0)
    spec = find_policy(name)
    return spec.make(spec.configured(SMALL[name] | options))


def batch_of(policy: Any, count: int = 8) -> Batch:
    """As `prepare` makes it, of random numbers."""
    import torch

    chunk = torch.randn(count, 16, 2, generator=generator(1))
    inputs = policy.graphs()[0].example(count)
    return Batch({**inputs, CHUNK: chunk} if policy.config.__class__.__name__ == "ActConfig" else inputs, chunk)


def test_the_loss_of_known_gaussians() -> None:
    """L1 is the mean of all values; the divergence a sum over z, and a mean over the batch."""
    import torch
    from torch.distributions import Normal, kl_divergence

    from vla_models.act.model import ActOutput

    chunk, actions = (torch.randn(5, 7, 2, generator=generator(seed)) for seed in (1, 2))
    mean, log_variance = (torch.randn(5, 3, generator=generator(seed)) * 2 for seed in (3, 4))
    asked = []

    def policy(corners: Any, given: Any) -> Any:
        asked.append((corners, given))
        return ActOutput(actions, mean, log_variance)

    batch = Batch({"corners": chunk[:, 0], CHUNK: chunk}, chunk)
    divergence = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(dim=1).mean()
    distance = torch.nn.functional.l1_loss(actions, chunk)
    for options, weight in (({}, 10.0), ({"kl_weight": 0.25}, 0.25), ({"kl_weight": 0.0}, 0.0)):
        loss, watched = find_objective("act").make(**options).loss(policy, batch, draws())  # type: ignore[arg-type]
        assert float(loss) == pytest.approx(float(distance + weight * divergence), rel=1e-5)
        assert float(watched["kl"]) == pytest.approx(float(divergence), rel=1e-5)
        assert float(watched["l1"]) == pytest.approx(float(distance), rel=1e-5)
    assert asked[0][0] is batch.inputs["corners"] and asked[0][1] is chunk

    prior = torch.zeros(5, 3)
    perfect = find_objective("act").make().loss(lambda c, g: ActOutput(g, prior, prior), batch, draws())  # type: ignore[arg-type]
    assert float(perfect[0]) == 0.0


def test_every_weight_has_a_gradient() -> None:
    """So that processes of a distributed run wait for none."""
    policy = made("act").train()
    loss, _ = find_objective("act").make().loss(policy, batch_of(policy), draws())
    loss.backward()
    assert [n for n, p in policy.named_parameters() if p.grad is None or not p.grad.abs().any()] == []


def test_it_learns_what_z_says() -> None:
    """Two chunks of one observation: with a small weight z tells them apart, with a large one it tells nothing."""
    import torch

    torch.set_num_threads(1)  # more would wait for each other
    left = []
    for weight in (1e-3, 100.0):
        policy = made("act", dropout=0.0).train()
        optimizer = torch.optim.Adam(policy.parameters(), lr=3e-3)
        inputs = {name: value.expand(8, *value.shape[1:]) for name, value in policy.graphs()[0].example().items()}
        side = torch.where(torch.arange(8) % 2 == 0, 1.0, -1.0)[:, None, None].expand(8, 16, 2)
        batch = Batch({**inputs, CHUNK: side}, side)
        for step in range(150):
            torch.manual_seed(step)
            loss, watched = find_objective("act").make(kl_weight=weight).loss(policy, batch, draws())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        left.append({name: float(value) for name, value in watched.items()})
    assert left[0]["l1"] < 0.3 < 0.9 < left[1]["l1"] and left[1]["kl"] < 0.05 < left[0]["kl"]


def test_mistakes() -> None:
    for name, seen in (("mlp_policy", "observation, noise"), ("pi_zero", "corners, state, noise")):
        policy = made(name)
        with pytest.raises(TrainConfigError, match=f"sees the 'chunk' in training; this one takes {seen}.* 'act'"):
            find_objective("act").make().loss(policy, batch_of(policy), draws())
    policy = made("act")
    for objective, said in (
        ("mean_squared_error", r"the policy gives several outputs, the actions to learn are \(8, 16, 2\)"),
        ("flow_matching", "begins with 'noise'; this one takes corners, state, chunk"),
        ("diffusion", "begins with 'noise'; this one takes corners, state, chunk"),
    ):
        with pytest.raises(TrainConfigError, match=said):
            find_objective(objective).make().loss(policy, batch_of(policy), draws())
    for weight in (-1.0, float("nan"), float("inf")):
        with pytest.raises(TrainConfigError, match="'kl_weight' is"):
            find_objective("act").make(kl_weight=weight)
