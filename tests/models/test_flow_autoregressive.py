"""pi-zero with tokens: who sees whom, tokens with and without kept keys, both heads as one program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vla_datasets.keys import ACTION, STATE
from vla_datasets.worlds.pusht.schema import GOAL, KEYPOINTS
from vla_models.chunks.names import ACTIONS, NOISE
from vla_models.errors import PolicyError
from vla_models.registry import find_policy

SMALL: dict[str, Any] = {
    "prefix_width": 48,
    "prefix_hidden": 64,
    "action_width": 32,
    "action_hidden": 80,
    "depth": 2,
    "sampler_steps": 4,
    "horizon": 3,
    "execute": 2,
    "bins": 32,
}
SEEN, FLOW, TOKENS = 9, 3, 6  # tokens of each kind


def small(**options: Any) -> Any:
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    spec = find_policy("flow_autoregressive")
    policy = spec.make(spec.configured(SMALL | options)).eval()
    with torch.no_grad():
        for parameter in policy.parameters():  # norms whose weight is what is added to one begin at zero
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
        for layer in policy.flow.prefix_expert.layers:  # what a token sees counts more than what it is
            layer.o.weight.mul_(4)
            layer.down.weight.mul_(4)
    return policy


def inputs(policy: Any, batch: int = 2) -> dict[str, Any]:
    """What `forward` takes, by name."""
    import torch

    generator = torch.Generator().manual_seed(7)
    tokens = torch.randint(0, policy.config.bins, (batch, TOKENS), generator=generator)
    seen = policy.graphs()[0].example(batch, seed=3)
    return {**seen, "tokens": tokens, "time": torch.rand(batch, generator=generator)}


def test_a_flow_action_changes_no_logit_and_a_token_no_velocity() -> None:
    """Not by a bit; the other way round, and from what both see, all changes."""
    import torch

    policy = small()
    given = inputs(policy)
    with torch.no_grad():
        velocity, logits = policy(*given.values())
        for action in range(FLOW):
            noise = given[NOISE].clone()
            noise[:, action] += 1
            moved = policy(*{**given, NOISE: noise}.values())
            assert torch.equal(moved.logits, logits)
            assert bool((moved.velocity != velocity).any(dim=2).all()), "flow actions see each other"
        for place in range(TOKENS):
            tokens = given["tokens"].clone()
            tokens[:, place] = (tokens[:, place] + 5) % policy.config.bins
            moved = policy(*{**given, "tokens": tokens}.values())
            assert torch.equal(moved.velocity, velocity)
            changed = (moved.logits != logits).any(dim=2)
            assert not changed[:, : place + 1].any(), "the past, and what is said where the token is wanted"
            assert changed[:, place + 1 :].all(), "all behind it"
        later = policy(*{**given, "time": given["time"] + 0.1}.values())
        assert torch.equal(later.logits, logits) and not torch.equal(later.velocity, velocity)
        for name in ("corners", "state"):
            moved = policy(*{**given, name: given[name] + 0.1}.values())
            assert bool((moved.logits != logits).any(dim=2).all() and (moved.velocity != velocity).any(dim=2).all())


def test_kept_keys_change_no_token() -> None:
    """The decoder that is exported against training's forward, which computes all anew for each token."""
    import torch

    policy = small()
    _, decoder = policy.graphs()
    given = inputs(policy, 4)
    given["tokens"] = torch.zeros_like(given["tokens"])
    with torch.no_grad():
        for place in range(TOKENS):
            given["tokens"][:, place] = policy(*given.values()).logits[:, place].argmax(-1)
        found = decoder.module(given["corners"], given["state"])
    wanted = ((given["tokens"] + 0.5) / policy.config.bins * 2 - 1) * policy.config.reach / 100
    assert torch.allclose(found.flatten(1), wanted, atol=1e-6)
    assert len(given["tokens"].unique()) > 3, "not the same bin everywhere"


def test_bins_of_a_chunk() -> None:
    """The edges of a bin are its own from below; what is behind the reach is in the last one."""
    import torch

    from vla_models.flow_autoregressive.vocabulary import bin_centres, bins_of

    chunk = torch.tensor([[[-9.0, -2.0], [-1.01, -1.0], [0.0, 0.99], [1.999, 9.0]]])
    assert bins_of(chunk, 4, 2.0).tolist() == [[0, 0, 0, 1, 2, 2, 3, 3]]
    assert bin_centres(4, 2.0).flatten().tolist() == [-1.5, -0.5, 0.5, 1.5]
    middles = bin_centres(256, 2.56).reshape(1, -1, 2)
    assert bins_of(middles, 256, 2.56).flatten().tolist() == list(range(256))


def test_the_head_that_acts_is_the_graph_that_runs() -> None:
    spec, rng = find_policy("flow_autoregressive"), np.random.default_rng(0)
    seen = {key: rng.uniform(0, 512, n).astype(np.float32) for key, n in ((STATE, 2), (KEYPOINTS, 16), (GOAL, 16))}
    for head, noise in (("flow", True), ("autoregressive", False)):
        robot: Any = spec.preprocessor(spec.configured(SMALL | {"head": head}))
        robot.reset("push", 1)
        assert robot.calls == (head,)
        assert list(robot.inputs(seen)) == list(robot.input_names) == ["corners", "state", *[NOISE] * noise]
        assert robot.actions({ACTIONS: np.zeros((1, 3, 2), np.float32)}).shape == (2, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bins": 1}, "'bins' is 1; it must be from 2 to 256"),
        ({"bins": 257}, "'bins' is 257"),
        ({"reach": 0.0}, "'reach' is 0.0; it must be from 1 to 1024 px"),
        ({"reach": float("nan")}, "'reach' is nan"),
        ({"head": "both"}, "'head' is 'both'; it must be one of flow, autoregressive"),
        ({"depth": 0}, "flow_autoregressive: 'depth' is 0"),
    ],
)
def test_options_that_there_cannot_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        find_policy("flow_autoregressive").configured(options)


def test_training_sees_what_the_robot_sees() -> None:
    """And learns the chunk that the robot does, to half a bin."""
    import torch

    policy, rng = small(), np.random.default_rng(4)
    spec = find_policy("flow_autoregressive")
    sizes = {STATE: 2, KEYPOINTS: 16, GOAL: 16}
    frames = {key: rng.uniform(100, 400, (5, n)).astype(np.float32) for key, n in sizes.items()}
    actions = frames[STATE][:, None] + rng.uniform(-200, 200, (5, 3, 2)).astype(np.float32)
    samples = {key: torch.from_numpy(value)[:, None] for key, value in frames.items()}
    batch = policy.prepare({**samples, ACTION: torch.from_numpy(actions)})
    assert list(batch.inputs) == [*policy.graphs()[0].inputs(), "tokens"]
    robot: Any = spec.preprocessor(spec.configured(SMALL | {"execute": 3, "head": "autoregressive"}))
    middles = (batch.inputs["tokens"].numpy() + 0.5) / 32 * 512 - 256
    for step in range(5):
        made = robot.inputs({key: value[step] for key, value in frames.items()})
        assert all(np.array_equal(value[0], batch.inputs[name][step].numpy()) for name, value in made.items())
        done = robot.actions({ACTIONS: middles[step].reshape(1, 3, 2).astype(np.float32) / 100})
        assert np.abs(done - actions[step].clip(0, 512)).max() <= 8 + 1e-3
