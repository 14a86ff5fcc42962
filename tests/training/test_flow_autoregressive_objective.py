"""The objective of both heads: flow matching and a token's cross-entropy; both heads learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vla_models.chunks.names import NOISE
from vla_models.draws import Draws
from vla_models.flow_autoregressive.names import TOKENS
from vla_models.policy import Batch
from vla_models.registry import find_policy
from vla_training.errors import TrainConfigError
from vla_training.objectives.registry import find_objective

SMALL: dict[str, Any] = {
    "prefix_width": 16,
    "prefix_hidden": 24,
    "action_width": 16,
    "action_hidden": 24,
    "depth": 1,
    "heads": 2,
    "head_width": 8,
    "horizon": 4,
    "execute": 1,
    "bins": 16,
}


def generator(seed: int = 0) -> Any:
    import torch

    return torch.Generator().manual_seed(seed)


def draws(seed: int = 0) -> Any:
    return Draws(generator(seed))


def made(name: str = "flow_autoregressive") -> Any:
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    spec = find_policy(name)
    return spec.make(spec.configured({k: v for k, v in SMALL.items() if name != "pi_zero" or k != "bins"}))


def batch_of(policy: Any, count: int = 8) -> Batch:
    """As `prepare` makes it, of random numbers."""
    import torch

    from vla_models.flow_autoregressive.vocabulary import bins_of

    chunk = torch.randn(count, 4, 2, generator=generator(1))
    inputs = policy.graphs()[0].example(count)
    tokens = {TOKENS: bins_of(chunk, 16, 2.56)} if hasattr(policy.config, "bins") else {}
    return Batch({**inputs, **tokens}, chunk)


def test_the_loss_of_known_outputs() -> None:
    """With what flow matching draws from the same generator, and the cross-entropy by numpy."""
    import torch

    from vla_models.flow_autoregressive.model import FlowAutoregressiveOutput

    batch = batch_of(made())
    logits = torch.randn(8, 8, 16, generator=generator(2)) * 3

    def both(corners: Any, state: Any, noise: Any, tokens: Any, time: Any) -> Any:
        assert tokens is batch.inputs[TOKENS]
        return FlowAutoregressiveOutput(noise * time[:, None, None], logits)

    def flow(corners: Any, state: Any, noise: Any, time: Any) -> Any:
        return noise * time[:, None, None]

    plain = Batch({name: value for name, value in batch.inputs.items() if name != TOKENS}, batch.target)
    velocity, _ = find_objective("flow_matching").make().loss(flow, plain, draws(5))  # type: ignore[arg-type]
    scores, right = logits.double().numpy().reshape(-1, 16), batch.inputs[TOKENS].numpy().reshape(-1)
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    nats = -np.log(shares[np.arange(64), right]).mean()
    for options, weight in (({}, 0.1), ({"token_weight": 2.0}, 2.0), ({"token_weight": 0.0}, 0.0)):
        objective = find_objective("flow_autoregressive").make(**options)
        loss, watched = objective.loss(both, batch, draws(5))  # type: ignore[arg-type]
        assert float(loss) == pytest.approx(float(velocity) + weight * nats, rel=1e-5)
        assert float(watched["flow"]) == pytest.approx(float(velocity), rel=1e-6)
        assert float(watched["cross_entropy"]) == pytest.approx(nats, rel=1e-5)
        assert float(watched["accuracy"]) == (scores.argmax(axis=1) == right).mean()


def test_some_seen_tokens_are_other_bins() -> None:
    """As many as asked, drawn evenly, while what is to be said stays; a wrapped policy (several processes) alike."""
    import torch

    policy, seen, right = made(), [], batch_of(made(), 512)

    class Watched(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
        def __init__(self) -> None:
            super().__init__()
            self.module = policy

        def forward(self, *inputs: Any) -> Any:
            seen.append(inputs[-2])
            return policy(*inputs)

    for noise in (0.0, 0.25, 1.0):
        objective = find_objective("flow_autoregressive").make(token_noise=noise)
        objective.loss(Watched(), right, draws(3))
        other = (seen[-1] != right.inputs[TOKENS]).double()
        assert float(other.mean()) == pytest.approx(noise * 15 / 16, abs=0.03)
        assert float(other.mean(dim=0).std()) < 0.03, "any place of the chunk"
        assert torch.equal(right.inputs[TOKENS], batch_of(policy, 512).inputs[TOKENS])
    shares = torch.bincount(seen[-1].flatten(), minlength=16) / seen[-1].numel()
    assert float((shares - 1 / 16).abs().max()) < 0.02
    assert len(shares) == 16


def test_every_weight_has_a_gradient() -> None:
    """So that processes of a distributed run wait for none."""
    policy = made().train()
    loss, _ = find_objective("flow_autoregressive").make().loss(policy, batch_of(policy), draws())
    loss.backward()
    assert [n for n, p in policy.named_parameters() if p.grad is None or not p.grad.abs().any()] == []


def test_both_heads_learn_what_is_seen() -> None:
    """One chunk for each state: the tokens say its bins, and the flow's error is below what not knowing it costs."""
    import torch

    policy = made().train()
    batch = batch_of(policy)
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
    for step in range(150):
        loss, watched = find_objective("flow_autoregressive").make().loss(policy, batch, draws(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(watched["accuracy"]) > 0.95
    assert float(watched["flow"]) < 0.5 * float(watched["velocity_variance"])
    with torch.no_grad():
        seen = [value for name, value in batch.inputs.items() if name not in (NOISE, TOKENS)]
        said = policy.eval().graphs()[1].module(*seen)
    assert float((said - batch.target.clamp(-2.56, 2.56)).abs().median()) <= 0.16 + 1e-5, "half a bin"


def test_mistakes() -> None:
    policy = made("pi_zero")
    with pytest.raises(TrainConfigError, match=r"sees 'tokens' in training; this one takes corners, state, noise.*"):
        find_objective("flow_autoregressive").make().loss(policy, batch_of(policy), draws())
    policy = made()
    for objective in ("flow_matching", "diffusion"):
        with pytest.raises(TrainConfigError, match=r"the policy gives several outputs, the actions.* \(8, 4, 2\)"):
            find_objective(objective).make().loss(policy, batch_of(policy), draws())
    for weight in (-1.0, float("nan"), float("inf")):
        with pytest.raises(TrainConfigError, match="'token_weight' is"):
            find_objective("flow_autoregressive").make(token_weight=weight)
    for noise in (-0.1, 1.1, float("nan")):
        with pytest.raises(TrainConfigError, match="'token_noise' is"):
            find_objective("flow_autoregressive").make(token_noise=noise)
    with pytest.raises(TrainConfigError, match="'power' is"):
        find_objective("flow_autoregressive").make(power=0.0)
