"""Random numbers of a batch's rows are the same for any division of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vla_models.draws import Draws
from vla_models.policy import Batch

COUNT = 12

DRAWN: dict[str, Callable[[Draws, int], Any]] = {
    "normal": lambda draws, count: draws.normal(count, 3, 2),
    "uniform": lambda draws, count: draws.uniform(count),
    "integers": lambda draws, count: draws.integers(1000, count),
}


def parts_of(processes: int, accumulate: int) -> list[np.ndarray]:
    """Rows of each process and part, as the training loop divides a batch."""
    rows = np.arange(COUNT)
    return [part for n in range(processes) for part in np.array_split(rows[n::processes], accumulate)]


@pytest.mark.parametrize("each", [1, 3])
@pytest.mark.parametrize("kind", DRAWN)
@pytest.mark.parametrize(("processes", "accumulate"), [(1, 1), (2, 1), (1, 3), (2, 3), (4, 2)])
def test_a_row_has_the_same_numbers_in_any_part(kind: str, processes: int, accumulate: int, each: int) -> None:
    """Twice in a row, as objectives draw more than once."""
    import torch

    draw = DRAWN[kind]
    alone = Draws(torch.Generator().manual_seed(3))
    whole = [draw(alone, COUNT * each).reshape(COUNT, each, -1).numpy() for _ in range(2)]
    assert not np.array_equal(whole[0], whole[1])
    for rows in parts_of(processes, accumulate):
        draws = Draws(torch.Generator().manual_seed(3), torch.from_numpy(rows), COUNT)
        for wanted in whole:
            found = draw(draws, len(rows) * each).reshape(len(rows), each, -1).numpy()
            assert np.array_equal(found, wanted[rows])


def test_parts_of_a_batch_train_as_one() -> None:
    """The gradient of flow matching is the mean of those of the parts."""
    import torch

    from vla_models.registry import find_policy
    from vla_training.objectives.registry import find_objective

    torch.manual_seed(0)
    spec = find_policy("mlp_policy")
    policy = spec.make(spec.configured({}))
    rng = torch.Generator().manual_seed(1)
    inputs = policy.graphs()[0].example(COUNT, seed=2)
    chunk = torch.randn(COUNT, policy.config.horizon, 2, generator=rng)

    def gradient(rows: np.ndarray | None) -> np.ndarray:
        every = np.arange(COUNT) if rows is None else rows
        batch = Batch({name: value[every] for name, value in inputs.items()}, chunk[every])
        draws = Draws(torch.Generator().manual_seed(5), None if rows is None else torch.from_numpy(rows), COUNT)
        policy.zero_grad()
        find_objective("flow_matching").make().loss(policy, batch, draws)[0].backward()
        return np.concatenate([p.grad.flatten().numpy() for p in policy.parameters()])

    whole = gradient(None)
    parts = np.mean([gradient(rows) for rows in parts_of(2, 2)], axis=0)
    assert np.abs(whole).max() > 1e-3
    assert np.allclose(whole, parts, atol=1e-6)
