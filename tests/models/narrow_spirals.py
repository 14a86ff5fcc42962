"""A classifier that int8 ruins: three spirals, a narrow network whose hidden values use few steps of their range."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

TOP, STEPS = 8.0, 5  # bound of hidden values, and steps of int8 that they use of 255


def spirals(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (N, 2) on three noisy arms, and the arm of each."""
    rng = np.random.default_rng(seed)
    radius, arm = np.sqrt(rng.uniform(0.1, 1, count)), rng.integers(0, 3, count)
    angle = 2 * np.pi * arm / 3 + 3.5 * radius + rng.normal(0, 0.05, count)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return torch.tensor(points, dtype=torch.float32), torch.tensor(arm)


class Narrow(nn.Module):  # type: ignore[misc]
    """Four layers of eight units between 0 and a bound, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.top = float("inf")
        self.layers = nn.ModuleList([nn.Linear(2 if i == 0 else 8, 8) for i in range(4)])
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.clamp(layer(x), 0.0, self.top)
        return self.head(x)

    @torch.no_grad()
    def shrink(self, x: torch.Tensor) -> None:
        """The same function with hidden values of at most `STEPS` / 255 of their bound, which is now `TOP`.

        Relu is homogeneous: what a layer's results are multiplied by, the next one's weights are divided by.
        """
        before = 1.0
        for layer in self.layers:
            layer.weight /= before
            x = torch.relu(layer(x))
            before = TOP * STEPS / 255 / float(x.max())
            layer.weight *= before
            layer.bias *= before
            x = x * before
        self.head.weight /= before
        self.top = TOP


def fit(net: nn.Module, x: torch.Tensor, y: torch.Tensor, steps: int, rate: float) -> None:
    """Adam, its rate falling to 0."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    net.train()
    for _ in range(steps):
        part = torch.randint(0, len(x), (256,), generator=generator)
        loss = nn.functional.cross_entropy(net(x[part]), y[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    net.eval()
