"""Flow matching: the times, the velocity, and that a network learns more than the noise's variance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vla_models.chunks.names import NOISE
from vla_models.draws import Draws
from vla_models.policy import Batch
from vla_models.registry import find_policy
from vla_training.errors import TrainConfigError
from vla_training.objectives.flow_matching import FlowMatching
from vla_training.objectives.registry import find_objective


def generator(seed: int = 0) -> Any:
    import torch

    return torch.Generator().manual_seed(seed)


def draws(seed: int = 0) -> Any:
    return Draws(generator(seed))


def batch_of(chunk: Any) -> Batch:
    import torch

    return Batch({"seen": chunk.flatten(1)[:, :2], NOISE: torch.full_like(chunk, torch.nan)}, chunk)


def test_what_the_policy_is_asked() -> None:
    """A chunk between noise and action, its time, and the velocity that leads from one to the other."""
    import torch

    chunk = torch.randn(4000, 3, 2, generator=generator(1)) * 2 + 5
    asked: dict[str, Any] = {}

    def policy(seen: Any, x: Any, time: Any) -> Any:
        asked.update(seen=seen, x=x, time=time)
        return torch.zeros_like(x)

    loss, watched = FlowMatching().loss(policy, batch_of(chunk), draws())  # type: ignore[arg-type]
    time = asked["time"]
    noise = (asked["x"] - time[:, None, None] * chunk) / (1 - time[:, None, None])
    near = time < 0.9  # where the division is exact enough
    assert abs(float(noise[near].mean())) < 0.02 and abs(float(noise[near].std()) - 1) < 0.02
    wanted = chunk - noise
    assert float(loss) == pytest.approx(float(wanted[near].square().mean()), rel=0.05)
    assert float(watched["velocity_variance"]) == pytest.approx(float(wanted[near].var()), rel=0.05)
    # 1 - Beta(1.5, 1) has mean 0.4; the distribution function of Beta(1.5, 1) is its 1.5th power
    assert float(time.max()) < 0.999 and abs(float(time.mean()) - 0.4 * 0.999) < 0.01
    for share in (0.25, 0.5, 0.75):
        assert abs(float((1 - time / 0.999 < share).float().mean()) - share**1.5) < 0.02


def test_equal_generators_give_equal_losses() -> None:
    import torch

    chunk = torch.randn(8, 3, 2, generator=generator(1))
    losses = [
        float(FlowMatching().loss(lambda s, x, t: x * t[:, None, None], batch_of(chunk), draws(seed))[0])  # type: ignore[arg-type]
        for seed in (3, 3, 4)
    ]
    assert losses[0] == losses[1] != losses[2]


def test_a_network_learns_more_than_the_variance_of_the_noise() -> None:
    """A policy that saw the clean action and had to name the noise would stay there: a loss of 1."""
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(9, 64), torch.nn.SiLU(), torch.nn.Linear(64, 6))

    def policy(seen: Any, x: Any, time: Any) -> Any:
        return net(torch.cat([seen, x.flatten(1), time[:, None]], dim=1)).unflatten(1, (3, 2))

    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for step in range(400):
        seen = torch.randn(256, 1, 2, generator=generator(step))
        chunk = seen.expand(256, 3, 2).contiguous()
        batch = Batch({"seen": seen[:, 0], NOISE: chunk}, chunk)
        loss, _ = FlowMatching().loss(policy, batch, draws(10_000 + step))  # type: ignore[arg-type]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3
    x = torch.randn(64, 3, 2, generator=generator(1))
    seen = torch.randn(64, 2, generator=generator(2))
    with torch.no_grad():
        for step in range(10):
            x = x + policy(seen, x, torch.full((64,), step / 10)) / 10
    assert float((x - seen[:, None]).abs().mean()) < 0.15


def test_a_diffusion_is_asked_for_the_chunk() -> None:
    """Between chunk and noise, as much of each as the sampler's schedule says."""
    import torch

    from vla_models.sampling.noise_schedule import signal

    chunk = torch.randn(4000, 3, 2, generator=generator(1)) * 2 + 5
    asked: dict[str, Any] = {}

    def policy(seen: Any, x: Any, time: Any) -> Any:
        asked.update(x=x, time=time)
        return torch.zeros_like(x)

    loss, watched = find_objective("diffusion").make().loss(policy, batch_of(chunk), draws())  # type: ignore[arg-type]
    assert float(loss) == pytest.approx(float(chunk.square().mean()), rel=1e-5)
    assert float(watched["variance"]) == pytest.approx(float(chunk.var()), rel=1e-5)
    steps = (asked["time"] * 1000).round().long()
    assert 0 <= int(steps.min()) < 10 and 990 <= int(steps.max()) < 1000 and abs(float(steps.float().mean()) - 500) < 15
    left = torch.from_numpy(signal()).float()[steps][:, None, None]
    noise = ((asked["x"] - left.sqrt() * chunk) / (1 - left).sqrt())[steps > 100]
    assert abs(float(noise.mean())) < 0.02 and abs(float(noise.std()) - 1) < 0.02


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pusht_flow"], ""),
        (["pusht_flow", "--policy-options.method", "diffusion", "--objective", "diffusion"], ""),
        (["pusht_flow", "--policy-options.method", "direct", "--objective", "mean_squared_error"], ""),
        (["pusht_flow_ar"], ""),
        (["pusht_pi_zero_pixels"], ""),
        (["pusht_act"], ""),
        (["aloha_rdt"], ""),
        (["pusht_flow", "--policy-options.method", "diffusion"], "asks .* the action; .* teaches it the velocity"),
        (["pusht_flow", "--objective", "diffusion"], "asks .* the velocity; .* 'diffusion' teaches it the action"),
        (["pusht_flow", "--objective", "mean_squared_error"], "asks .* the velocity; .* teaches it neither"),
        (
            ["pusht_pi_zero", "--objective", "diffusion"],
            "policy 'pi_zero' asks .* the velocity; .* teaches it the action",
        ),
        (["aloha_rdt", "--objective", "flow_matching"], "policy 'rdt' asks .* the action; .* teaches it the velocity"),
    ],
)
def test_a_sampler_gets_what_it_asks_for(arguments: list[str], said: str) -> None:
    """A network that was taught the action, and is asked for the velocity, goes anywhere."""
    import contextlib

    from vla_training.config.load import load_config
    from vla_training.loop import check_taught

    config = load_config(arguments[0], arguments[1:])
    policy = find_policy(config.policy).make(config.policy_options)
    with pytest.raises(TrainConfigError, match=said) if said else contextlib.nullcontext():
        check_taught(config, policy)


def test_mistakes() -> None:
    import torch

    chunk = torch.randn(4, 3, 2)
    with pytest.raises(TrainConfigError, match="begins with 'noise'; this one takes seen"):
        FlowMatching().loss(torch.nn.Identity(), Batch({"seen": chunk}, chunk), draws())
    with pytest.raises(TrainConfigError, match=r"gives \(4, 6\), the actions to learn are \(4, 3, 2\)"):
        FlowMatching().loss(lambda s, x, t: x.flatten(1), batch_of(chunk), draws())  # type: ignore[arg-type]
    for options in ({"power": 0.0}, {"power": np.inf}, {"cutoff": 0.0}, {"cutoff": 1.5}):
        with pytest.raises(TrainConfigError, match=f"'{next(iter(options))}' is"):
            find_objective("flow_matching").make(**options)
