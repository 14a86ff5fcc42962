"""The network: strided convolutions, command and measures, six branches of which the command chooses one.

On the device the choice is a product with the one-hot command and a 0/1 matrix, and so are the gates: Conv, Relu, Mul,
Concat, Gemm and Tanh (and one pool), nothing for the host.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from vla_models.driving.batches import DrivingOutput, driving_batch, driving_windows, example_inputs
from vla_models.driving.names import BRANCHES, CAMERA, COMMAND, CONCEPT_KEYS, CONCEPTS, CONTROL
from vla_models.driving.trunk import ConvTrunk, map_sides
from vla_models.driving_tiles.branches import BranchConvs, branch_tiles
from vla_models.driving_tiles.config import COLUMNS, TILE, DrivingTilesConfig
from vla_models.driving_tiles.gates import TileGates, live_share, live_tiles
from vla_models.errors import PolicyError
from vla_models.policy import Batch, GraphSpec

__all__ = ["TASK_MASKS", "DrivingTiles"]

TASK_MASKS = "vlac.task_masks"  # key of the ONNX metadata; `vlac compile` reads it
_MEASURES = 3


class DrivingTiles(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """One image and what the car does, to the control of the commanded branch."""

    def __init__(self, config: DrivingTilesConfig) -> None:
        super().__init__()
        self.config = config
        self.windows = driving_windows(1)
        self.image_sides = {CAMERA: config.image_size}
        self.trunk = ConvTrunk(3, config.channels, config.strides, config.image_size)
        self.measure = nn.Linear(_MEASURES, config.measure_features)
        side = 1 if config.pooled else map_sides(config.image_size, config.strides)[-1]
        self.fusion = nn.Linear(config.channels[-1] * side * side + config.measure_features, config.fused)
        self.branches = nn.ModuleList(_branch(config.fused, config.branch) for _ in BRANCHES)
        self.concepts = nn.Linear(config.fused, len(CONCEPT_KEYS))
        self.gates = TileGates(config.channels, config.gate_hidden) if config.gated else None
        self.register_buffer("spread", torch.eye(len(BRANCHES)).repeat_interleave(COLUMNS, 1), persistent=False)
        self.register_buffer("gather", torch.eye(COLUMNS).repeat(len(BRANCHES), 1), persistent=False)
        self.to(memory_format=torch.channels_last)

    def forward(self, image: torch.Tensor, command: torch.Tensor, measures: torch.Tensor) -> DrivingOutput:
        """Controls (N, 2): steer and throttle minus brake, in [-1, 1]; concepts (N, 5); share of live MACs (N,).

        Args:
            image: (N, 3, side, side) in [0, 1].
            command: (N, 6) one-hot.
            measures: (N, 3) last steer, last throttle minus brake (both 0 without `past`), speed in 10 m/s.
        """
        if self.gates is None:
            return DrivingOutput(*self.act(image, command, measures))
        tiles = self.gates(command)
        masks = [mask.repeat_interleave(TILE, dim=1) for mask in tiles]
        on = torch.cat(tiles, dim=1).mean(dim=1)
        return DrivingOutput(*self.act(image, command, measures, masks), live_share(tiles, self.trunk.macs), on)

    def act(
        self,
        image: torch.Tensor,
        command: torch.Tensor,
        measures: torch.Tensor,
        masks: Sequence[torch.Tensor] | None = None,
        joined: BranchConvs | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Controls and concepts.

        Args:
            image: see `forward`, like `command` and `measures`.
            command: one-hot.
            measures: of the car.
            masks: (N, C), what the channels of the convolutions are multiplied by.
            joined: all branches at once, as they are deployed with gates.
        """
        x = self.trunk(image, masks)
        x = x.mean((2, 3)) if self.config.pooled else x.flatten(1)
        x = torch.relu(self.fusion(torch.cat([x, torch.relu(self.measure(measures))], dim=1)))
        every = torch.tanh(joined(x) if joined else torch.cat([branch(x) for branch in self.branches], dim=1))
        chosen = (every * (command @ self.spread)) @ self.gather
        return chosen, self.concepts(x)

    def graphs(self) -> tuple[GraphSpec, ...]:
        """One graph, one call a step; with gates its metadata says which tiles a task uses."""
        return (GraphSpec("policy", _Deployed(self), self.example_inputs, (CONTROL, CONCEPTS), metadata=self.masks),)

    def circuits(self) -> tuple[GraphSpec, ...]:
        """The graph without its gates, which it has in its metadata alone: right at the entry point of its command.

        Raises:
            PolicyError: it has no gates.
        """
        if self.gates is None:
            raise PolicyError("driving_tiles: the policy has no gates ('gated' is false), so it has no circuits.")
        module = _Deployed(self, gated=False)
        chosen = partial(self.masks, chosen_by=COMMAND)
        return (GraphSpec("policy", module, self.example_inputs, (CONTROL, CONCEPTS), metadata=chosen),)

    def masks(self, convolutions: Sequence[str], chosen_by: str | None = None) -> dict[str, str]:
        """Metadata of the exported model, from the names of its convolutions in order: the tiles of each task.

        The form is that of `vlac compile --task-masks`; its blocks are tiles, whatever the hardware's block. Of the
        branches only the task's own is live.

        Args:
            convolutions: names, first those of the trunk.
            chosen_by: the input that says the task, where nothing in the graph does what it says.
        """
        if self.gates is None:
            return {}
        own = branch_tiles(self.config.branch)
        tasks = {
            task: dict(zip(convolutions, [*tiles, *own[task]], strict=False))  # the last one gives all controls
            for task, tiles in live_tiles(self.gates.table()).items()
        }
        said = {} if chosen_by is None else {"input": chosen_by}
        return {TASK_MASKS: json.dumps({"block": TILE, **said, "tasks": tasks})}

    def training_outputs(self, control: torch.Tensor, concepts: torch.Tensor) -> DrivingOutput:
        """What `forward` returns, of the graph's outputs."""
        return DrivingOutput(control, concepts)

    def prepare(self, samples: Mapping[str, Any]) -> Batch:
        """The inputs of `forward`, the expert's control and the true concepts; see `driving_batch`."""
        return driving_batch(samples, COLUMNS, self.config.past)

    def example_inputs(self, batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
        """Random inputs."""
        return example_inputs(1, self.config.image_size, batch, seed)


def _branch(width: int, hidden: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU()]
        width = size
    return nn.Sequential(*layers, nn.Linear(width, COLUMNS))


class _Deployed(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """What runs on the device: the gates are a table of constants by command, or, not `gated`, no part of it."""

    def __init__(self, policy: DrivingTiles, gated: bool = True) -> None:
        super().__init__()
        self.policy = policy
        self.gated = gated and policy.gates is not None
        self.convolutions = len(policy.config.channels)
        self.joined = BranchConvs(policy.branches) if policy.gates is not None else None
        for number, mask in enumerate(policy.gates.table() if self.gated and policy.gates is not None else []):
            self.register_buffer(f"mask{number}", mask.repeat_interleave(TILE, dim=1))

    def forward(
        self, image: torch.Tensor, command: torch.Tensor, measures: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        masks = None
        if self.gated:
            masks = [command @ getattr(self, f"mask{number}") for number in range(self.convolutions)]
        found: tuple[torch.Tensor, torch.Tensor] = self.policy.act(image, command, measures, masks, self.joined)
        return found
