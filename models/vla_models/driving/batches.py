"""Training batches of the driving policies, and what their training forward returns.

Not here: the losses (`vla_training.objectives.driving`), the robot's side (`preprocess.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from vla_datasets.keys import ACTION, STATE, is_pad
from vla_models.driving.names import (
    BRANCH_OF_COMMAND,
    BRANCHES,
    CAMERA,
    COMMAND,
    COMMAND_KEY,
    CONCEPT_KEYS,
    IMAGE,
    MEASURES,
    SPEED_UNIT,
)
from vla_models.errors import ObservationError
from vla_models.policy import Batch

__all__ = ["DrivingOutput", "driving_batch", "driving_windows", "example_inputs"]


class DrivingOutput(NamedTuple):
    """Of a batch of N: controls, logits of the concepts, and what the convolutions cost.

    Attributes:
        control: (N, 2 or 3), of the commanded branch.
        concepts: (N, 5).
        mac_share: (N,) live multiply-accumulates of the convolutions, of 1; None where there are no gates.
        tile_share: (N,) tiles that are on, of 1; None where there are no gates.
    """

    control: torch.Tensor
    concepts: torch.Tensor
    mac_share: torch.Tensor | None = None
    tile_share: torch.Tensor | None = None


def driving_windows(frames: int) -> dict[str, Sequence[int]]:
    """The steps around a frame that a policy with so many stacked images trains on."""
    now = dict.fromkeys((STATE, COMMAND_KEY, *CONCEPT_KEYS), (0,))
    return {CAMERA: tuple(range(1 - frames, 1)), ACTION: (-1, 0), **now}


def driving_batch(samples: Mapping[str, Any], columns: int, past: bool = True) -> Batch:
    """From windows of driving frames: the network's inputs; the expert's control and, behind it, the true concepts.

    The action before is that of the frame before in the same episode, and none at its begin.

    Args:
        samples: windows as `driving_windows` says; images already have the network's size.
        columns: 3 for steer, throttle and brake, 2 for steer and throttle minus brake.
        past: whether the measures hold the last action; 0 is in its place where they do not.

    Raises:
        ObservationError: a command that does not exist.
    """
    frames, commands = samples[CAMERA], samples[COMMAND_KEY].reshape(-1).long()  # (N, F, S, S, 3), (N,)
    if int(commands.min()) < 0 or int(commands.max()) >= len(BRANCH_OF_COMMAND):
        raise ObservationError(f"The data has a command outside 0..{len(BRANCH_OF_COMMAND) - 1}.")
    pixels = torch.cat(frames.unbind(1), dim=-1).permute(0, 3, 1, 2).float().div_(255.0)
    branch = torch.tensor(BRANCH_OF_COMMAND, device=commands.device)[commands]
    actions = samples[ACTION].float()  # (N, 2, 3)
    known = ~samples[is_pad(ACTION)][:, :1]
    before = torch.stack([actions[:, 0, 0], actions[:, 0, 1] - actions[:, 0, 2]], dim=1) * known * float(past)
    inputs = {
        IMAGE: pixels,
        COMMAND: torch.nn.functional.one_hot(branch, len(BRANCHES)).float(),
        MEASURES: torch.cat([before, samples[STATE].reshape(-1, 1).float() / SPEED_UNIT], dim=1),
    }
    steer, throttle, brake = actions[:, 1].unbind(1)
    control = [steer, throttle, brake] if columns == 3 else [steer, throttle - brake]
    concepts = [samples[key].reshape(-1).float() for key in CONCEPT_KEYS]
    return Batch(inputs, torch.stack([*control, *concepts], dim=1))


def example_inputs(frames: int, side: int, batch: int, seed: int) -> dict[str, torch.Tensor]:
    """Random inputs: pixels in [0, 1], one command each, controls and speeds in their range."""
    generator = torch.Generator().manual_seed(seed)
    branch = torch.randint(0, len(BRANCHES), (batch,), generator=generator)
    return {
        IMAGE: torch.rand(batch, 3 * frames, side, side, generator=generator),
        COMMAND: torch.nn.functional.one_hot(branch, len(BRANCHES)).float(),
        MEASURES: torch.rand(batch, 3, generator=generator) * 2 - 1,
    }
