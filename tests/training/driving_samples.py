"""Driving samples, and a policy that always says the same."""

from __future__ import annotations

import torch

from vla_models.draws import Draws
from vla_models.driving.batches import DrivingOutput
from vla_models.driving.names import BRANCHES, COMMAND, IMAGE, MEASURES
from vla_models.driving_tiles.model import DrivingTiles
from vla_models.policy import Batch
from vla_training.objectives.driving_noise import mirror, past_noise, relight
from vla_training.objectives.group_lasso import block_norms, group_lasso, tile_norms

__all__ = [
    "DrivingOutput",
    "DrivingTiles",
    "Says",
    "batch_of",
    "block_norms",
    "draws",
    "group_lasso",
    "mirror",
    "past_noise",
    "relight",
    "tile_norms",
    "torch",
]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws(seed: int = 0) -> Draws:
    return Draws(generator(seed))


def batch_of(branches: list[int], columns: int = 2) -> Batch:
    count, draw = len(branches), generator(1)
    inputs = {
        IMAGE: torch.rand(count, 3, 16, 16, generator=draw),
        COMMAND: torch.eye(len(BRANCHES))[branches],
        MEASURES: torch.rand(count, 3, generator=draw),
    }
    return Batch(inputs, torch.rand(count, columns + 5, generator=draw).round(decimals=2))


class Says(torch.nn.Module):  # type: ignore[misc]
    """Answers the same whatever it sees."""

    def __init__(self, control: list[list[float]]) -> None:
        super().__init__()
        self.control = torch.nn.Parameter(torch.tensor(control))

    def forward(self, *inputs: torch.Tensor) -> DrivingOutput:
        return DrivingOutput(self.control, torch.zeros(len(self.control), 5))
