"""Small networks for quantization-aware training: residual with BatchNormalization, pools, functions, products."""

from __future__ import annotations

import torch
from torch import nn

from vla_models.policy import GraphSpec


class Residual(nn.Module):  # type: ignore[misc]
    """Convolutions with BatchNormalization around an Add, a depthwise one, both pools, a function and a head."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.Hardswish(),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.BatchNorm2d(channels),
        )
        self.pool = nn.AvgPool2d(3, 2, padding=1, count_include_pad=False)
        self.head = nn.Linear(channels, 5)
        for norm in (m for m in self.modules() if isinstance(m, nn.BatchNorm2d)):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.running_mean, std=0.3)
            nn.init.uniform_(norm.running_var, 0.5, 2.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(torch.relu(self.stem(x)), 2)
        x = torch.relu(x + self.branch(x))
        return self.head(self.pool(x).mean(dim=(2, 3)))


class Gated(nn.Module):  # type: ignore[misc]
    """Two dense branches whose product and Concat a head reads."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.head = nn.Linear(6, 10), nn.Linear(6, 10), nn.Linear(20, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = torch.tanh(self.left(x)), nn.functional.gelu(self.right(x))
        return self.head(torch.cat([left * right, torch.clamp(left, -0.5, 0.25)], dim=1))


def graph_of(net: nn.Module, *shape: int) -> GraphSpec:
    """A network of one input `x` (N, *shape) and one output `y` as the graph of a policy."""

    def example(batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
        return {"x": torch.randn(batch, *shape, generator=torch.Generator().manual_seed(seed))}

    return GraphSpec("net", net.eval(), example, ("y",))
