"""From a picture to a row of features: convolutions that halve it, and one linear layer, so that places count.

Each has a batch norm, without which what is in the picture hardly gets through at first; `vlac` folds it away.
"""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from vla_models.sim_v0.config import SimV0Config

__all__ = ["Eyes"]


class Eyes(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """One picture at a time: they know nothing of motion."""

    def __init__(self, config: SimV0Config) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for channels in config.channels:
            layers += [
                nn.Conv2d(before, channels, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            ]
            before = channels
        side = config.image_size >> len(config.channels)
        last = [nn.Linear(before * side**2, config.features, bias=False), nn.BatchNorm1d(config.features), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Flatten(), *last)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """(N, dv), of (N, 3, S, S)."""
        found: torch.Tensor = self.layers(pictures)
        return found

    def digest(self) -> str:
        """Of their weights: other eyes say other things."""
        found = hashlib.sha256()
        for weight in self.state_dict().values():
            found.update(weight.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()[:16]
