"""Who sees whom: the mask that a policy says, held against the one written here and against what its network computes.

The networks keep keys and values and call their experts block by block; here it is one attention over all tokens.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vla_models.attention_blocks import Block, allowed
from vla_models.registry import find_policy

SEEN, STATE, ACTIONS, TOKENS = 8, 1, 5, 10
SIZES: dict[str, Any] = {
    "prefix_width": 48,
    "prefix_hidden": 64,
    "action_width": 32,
    "action_hidden": 80,
    "depth": 2,
    "key_heads": 2,
    "horizon": ACTIONS,
    "execute": 1,
}


def small(name: str) -> Any:
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    spec = find_policy(name)
    policy = spec.make(spec.configured(SIZES)).eval()
    with torch.no_grad():
        for parameter in policy.parameters():  # norms whose weight is what is added to one begin at zero
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return policy


def written(name: str) -> np.ndarray:
    """Each block sees itself and those before; tokens see those before them, but no flow action, and none sees them."""
    block = np.repeat([0, 1, 2, 3], [SEEN, STATE, ACTIONS, TOKENS])
    mask = block[:, None] >= block
    mask[-TOKENS:, -TOKENS:] = np.arange(TOKENS)[:, None] >= np.arange(TOKENS)
    mask[-TOKENS:, SEEN + STATE : SEEN + STATE + ACTIONS] = False
    return mask if name == "flow_autoregressive" else mask[:-TOKENS, :-TOKENS]


@pytest.mark.parametrize("name", ["pi_zero", "flow_autoregressive"])
def test_what_the_config_says(name: str) -> None:
    spec = find_policy(name)
    config: Any = spec.configured(SIZES)
    assert np.array_equal(allowed(config.attention_blocks()), written(name))
    assert [block.count for block in config.attention_blocks()] == [SEEN, STATE, ACTIONS, TOKENS][
        : 3 + (name[0] == "f")
    ]


def test_a_block_sees_no_other_one_than_it_says() -> None:
    blocks = (Block("a", 2), Block("b", 1, ("c",)), Block("c", 2, ("a",), causal=True))
    rows = ["11000", "11000", "00111", "11010", "11011"]
    assert np.array_equal(allowed(blocks), np.array([[c == "1" for c in row] for row in rows]))


def test_pi_zero_is_one_attention_with_this_mask() -> None:
    import torch
    from joint_attention import joint_layer

    policy = small("pi_zero")
    corners, state, noise = policy.graphs()[0].example(2, seed=3).values()
    time = torch.tensor([0.3, 0.8])
    mask, places = torch.from_numpy(written("pi_zero")), torch.arange(SEEN + STATE + ACTIONS)
    with torch.no_grad():
        tokens = first_tokens(policy, corners, state, noise, time)
        for number in range(policy.config.depth):
            experts = [policy.prefix_expert] + [policy.action_expert] * 2
            tokens = joint_layer([e.layers[number] for e in experts], tokens, mask, places)
        wanted = policy.out(policy.norm(tokens[2]))
        found = policy(corners, state, noise, time)
    assert torch.allclose(found, wanted, atol=1e-5)
    assert (found[0] - policy(corners, state, noise, time.flip(0))[0]).abs().max() > 1e-4, "the time matters"


def test_both_heads_are_one_attention_with_this_mask() -> None:
    """In training, where the expert's tokens are known; both heads' places begin behind the state."""
    import torch
    from joint_attention import joint_layer

    policy = small("flow_autoregressive")
    flow, rows = policy.flow, policy.vocabulary.rows
    corners, state, noise = policy.graphs()[0].example(2, seed=3).values()
    time = torch.tensor([0.3, 0.8])
    bins = torch.randint(0, policy.config.bins, (2, TOKENS), generator=torch.Generator().manual_seed(1))
    mask, behind = torch.from_numpy(written("flow_autoregressive")), SEEN + STATE
    places = torch.cat([torch.arange(behind + ACTIONS), torch.arange(behind, behind + TOKENS)])
    with torch.no_grad():
        said = [policy.start.expand(2, -1)]
        said += [rows[place % 2, bins[:, place]] * rows.shape[2] ** 0.5 for place in range(TOKENS - 1)]
        tokens = [*first_tokens(flow, corners, state, noise, time), torch.stack(said, dim=1)]
        for number in range(policy.config.depth):
            experts = [flow.prefix_expert, flow.action_expert, flow.action_expert, flow.prefix_expert]
            tokens = joint_layer([e.layers[number] for e in experts], tokens, mask, places)
        velocity, logits = policy(corners, state, noise, bins, time)
        x = policy.norm(tokens[3])
        wanted = torch.stack([x[:, place] @ rows[place % 2].T for place in range(TOKENS)], dim=1)
    assert torch.allclose(velocity, flow.out(flow.norm(tokens[2])), atol=1e-5)
    assert torch.allclose(logits, wanted, atol=1e-5)


def first_tokens(policy: Any, corners: Any, state: Any, noise: Any, time: Any) -> list[Any]:
    """What pi-zero makes of its inputs."""
    import torch

    action = policy.action_time(policy.action(noise)) + policy.time_rows(time)[:, None]
    return [
        policy.corners(corners) + policy.which,
        policy.state(state)[:, None],
        policy.action_out(torch.nn.functional.silu(action)),
    ]
