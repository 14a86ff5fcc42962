"""What one step of training does to the weights: by the rate that was asked for, and with dropout."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from vla_training.config.load import load_config

CONFIG = dataclasses.replace(load_config("debug"), steps=1, save_every=1, warmup_steps=0, weight_decay=0.0, ema_decay=0)
RATES = 1e-3, 2e-3, 5e-3


def test_weights_move_by_the_learning_rate_of_the_config(data: Path, tmp_path: Path) -> None:
    """AdamW's first step is the rate times the sign of the gradient, where that is not tiny."""
    from safetensors.numpy import load_file

    from vla_training.loop import train

    def weights(rate: float) -> np.ndarray:
        folder = train(dataclasses.replace(CONFIG, learning_rate=rate), data, tmp_path / str(rate))
        return np.concatenate([w.ravel() for _, w in sorted(load_file(folder / "model.safetensors").items())])

    first, second, third = (weights(rate).astype(np.float64) for rate in RATES)
    moved = np.abs(second - first) > 0.9 * (RATES[1] - RATES[0])
    assert moved.mean() > 0.3  # embeddings of words that did not come do not move
    assert np.allclose((second - first)[moved], (third - second)[moved] / 3, atol=2e-5)


def test_dropout_acts_in_training_alone() -> None:
    import torch

    from vla_models.registry import find_policy

    torch.manual_seed(0)
    spec = find_policy("act")
    policy = spec.make(spec.configured({"dropout": 0.5}))
    inputs = policy.graphs()[0].example(4).values()

    def said() -> torch.Tensor:
        return policy.graphs()[0].module(*inputs)

    policy.train()
    assert not torch.equal(said(), said())
    policy.eval()
    assert torch.equal(said(), said())
