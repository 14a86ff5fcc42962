"""The network: Conv, Relu, Concat and Gemm alone, so nothing is left for the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from vla_models.driving.batches import DrivingOutput, driving_batch, driving_windows, example_inputs
from vla_models.driving.names import BRANCHES, CAMERA, CONCEPT_KEYS, CONCEPTS, CONTROL, IMAGE
from vla_models.driving.trunk import ConvTrunk, map_sides
from vla_models.driving_vgg.config import COLUMNS, DrivingVggConfig
from vla_models.policy import Batch, GraphSpec

__all__ = ["DrivingVgg"]

_MEASURES = 3


class DrivingVgg(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Convolutions over stacked frames, joined with command and measures, and dense layers."""

    def __init__(self, config: DrivingVggConfig) -> None:
        super().__init__()
        self.config = config
        self.windows = driving_windows(config.frames)
        self.image_sides = {CAMERA: config.image_size}
        self.trunk = ConvTrunk(3 * config.frames, config.channels, config.strides, config.image_size, config.bias)
        side = map_sides(config.image_size, config.strides)[-1]
        width = config.channels[-1] * side * side
        if config.measure_features:
            self.measure = nn.Linear(len(BRANCHES) + _MEASURES, config.measure_features, bias=config.bias)
            width += config.measure_features
        self.dense = nn.ModuleList()
        for hidden in config.hidden:
            self.dense.append(nn.Linear(width, hidden, bias=config.bias))
            width = hidden
        self.control = nn.Linear(width, COLUMNS, bias=config.bias)
        self.concepts = nn.Linear(width, len(CONCEPT_KEYS), bias=config.bias)
        self.to(memory_format=torch.channels_last)

    def forward(self, image: torch.Tensor, command: torch.Tensor, measures: torch.Tensor) -> DrivingOutput:
        """Controls (N, 3): steer, throttle and brake; concepts (N, 5).

        Args:
            image: (N, 3 * frames, side, side) in [0, 1], oldest frame first.
            command: (N, 6) one-hot.
            measures: (N, 3) last steer, last throttle minus brake, speed in 10 m/s.
        """
        x = self.trunk(image).flatten(1)
        if self.config.measure_features:
            x = torch.cat([x, torch.relu(self.measure(torch.cat([command, measures], dim=1)))], dim=1)
        for layer in self.dense:
            x = torch.relu(layer(x))
        return DrivingOutput(self.control(x), self.concepts(x))

    def graphs(self) -> tuple[GraphSpec, ...]:
        """One graph, one call a step."""
        return (GraphSpec("policy", _Deployed(self), self.example_inputs, (CONTROL, CONCEPTS)),)

    def training_outputs(self, control: torch.Tensor, concepts: torch.Tensor) -> DrivingOutput:
        """What `forward` returns, of the graph's outputs."""
        return DrivingOutput(control, concepts)

    def prepare(self, samples: Mapping[str, Any]) -> Batch:
        """The inputs of `forward`, the expert's control and the true concepts; see `driving_batch`."""
        return driving_batch(samples, COLUMNS)

    def example_inputs(self, batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
        """Random inputs of the exported graph."""
        found = example_inputs(self.config.frames, self.config.image_size, batch, seed)
        return found if self.config.measure_features else {IMAGE: found[IMAGE]}


class _Deployed(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """What runs on the device: controls and concepts."""

    def __init__(self, policy: DrivingVgg) -> None:
        super().__init__()
        self.policy = policy

    def forward(
        self, image: torch.Tensor, command: torch.Tensor | None = None, measures: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.policy(image, command, measures)
        return found.control, found.concepts
