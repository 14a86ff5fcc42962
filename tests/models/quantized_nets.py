"""Small networks for quantization-aware training: residual with BatchNormalization, pools, functions, products."""

from __future__ import annotations

import torch
from torch import nn

from vla_models.export_onnx import exported
from vla_models.policy import GraphSpec
from vla_models.quantized.convert import quantize_graph
from vla_models.quantized.graph import QuantizedGraph
from vla_models.registry import find_policy


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


class Normed(nn.Module):  # type: ignore[misc]
    """A layer in front of a normalization of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(6, 16), nn.LayerNorm(16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.first(x))


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


def graph_named(name: str) -> GraphSpec:
    """A small policy of the registry, or `residual` or `gated`, with random weights."""
    torch.manual_seed(3)
    sizes = {"babyai_cnn": {"channels": [8, 16, 16], "hidden": 24}, "babyai_film": {"hidden": 24}}
    if name in sizes:
        spec = find_policy(name)
        (graph,) = spec.make(spec.configured(sizes[name])).graphs()
        return graph
    return graph_of(Residual(), 3, 12, 12) if name == "residual" else graph_of(Gated(), 6)


def quantized_of(graph: GraphSpec) -> QuantizedGraph:
    """Calibrated with 32 random samples."""
    arrays = {key: value.numpy() for key, value in graph.example(32, seed=1).items()}
    return quantize_graph(exported(graph), arrays)


def train_on_noise(graph: GraphSpec, quantized: QuantizedGraph, steps: int) -> None:
    """Integers that calibration never saw, results that saturate."""
    quantized.train()
    optimizer = torch.optim.Adam(quantized.parameters(), lr=0.02)
    for step in range(steps):
        y = quantized(*graph.example(8, seed=100 + step).values())
        loss = (y - torch.sin(7 * torch.arange(y.numel()).reshape(y.shape))).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    quantized.eval()
