"""The network of the throw-away policy (`point_mass.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from point_mass import CHUNK, PointConfig
from torch import nn

from vla_datasets.keys import ACTION, STATE, is_pad
from vla_models.policy import Batch, GraphSpec


class PointMlp(nn.Module):  # type: ignore[misc]
    """Two layers: state (N, 4) -> chunk (N, 4, 2)."""

    windows = {STATE: (0,), ACTION: tuple(range(CHUNK))}  # noqa: RUF012

    def __init__(self, config: PointConfig) -> None:
        super().__init__()
        self.config = config
        self.first = nn.Linear(4, config.hidden)
        self.second = nn.Linear(config.hidden, CHUNK * 2)
        self.dropout = nn.Dropout(0.1)  # randomness of the step that is not the objective's

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        return self.second(self.dropout(torch.relu(self.first(state)))).unflatten(1, (CHUNK, 2))

    def graphs(self) -> tuple[GraphSpec, ...]:
        return (GraphSpec("policy", self, self._example, ("chunk",)),)

    def _example(self, batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
        return {"state": torch.randn(batch, 4, generator=torch.Generator().manual_seed(seed))}

    def prepare(self, samples: Mapping[str, Any]) -> Batch:
        state = samples[STATE][:, 0]
        mean, std = (torch.tensor(v, device=state.device) for v in (self.config.mean, self.config.std))
        return Batch({"state": (state - mean) / std}, samples[ACTION], samples[is_pad(ACTION)])
