"""Driving by imitation: weighted absolute errors of the commanded branch's control, concepts, and sparsity.

The weights are those of the CARLA system that the driving world stands in for: errors of steering count more the more
is steered, and a pedal that is used counts more than one that rests. Samples are altered (`driving_noise.py`) in
training only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from vla_models.driving.names import COMMAND, CONCEPT_KEYS
from vla_training.errors import TrainConfigError

if TYPE_CHECKING:
    import torch

    from vla_models.draws import Draws
    from vla_models.policy import Batch

__all__ = ["DrivingImitation"]


@dataclass(frozen=True)
class DrivingImitation:
    """Weights of the loss's parts; all are from 0 on, and finite."""

    steer: float = 25.0  # of an error of steering where nothing is steered
    steer_curve: float = 10.0  # that weight grows by so many times the square of the expert's steering
    pedal: float = 10.0  # of an error of a pedal that the expert uses
    pedal_rest: float = 2.0  # of a pedal that rests: the expert has it below `pedal_used`
    pedal_used: float = 0.05
    concepts: float = 0.5  # of the cross-entropy of the concepts
    lasso_tiles: float = 0.0  # of the norms of tiles of 16 output channels
    lasso_blocks: float = 0.0  # of the norms of blocks of 16 x 16 channels
    budget: float = 20.0  # of the multiply-accumulates and of the tiles over what gates may leave
    mac_budget: float = 0.6  # share of the convolutions' multiply-accumulates that a command may use in the end
    tile_budget: float = 1.0  # share of the tiles that a command may use in the end
    budget_from: float = 0.5  # share of the training after which it is that; it shrinks from 1 until then
    mirror: float = 0.5  # share of the samples that are mirrored, where following or changing lanes
    forget: float = 0.5  # share of the samples without the action before
    relight: bool = True  # other brightness and contrast

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self)):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise TrainConfigError(f"'{name}' is {value}; it must be a finite number from 0 on.")
        for name in ("mirror", "forget", "mac_budget", "tile_budget", "budget_from"):
            if getattr(self, name) > 1:
                raise TrainConfigError(f"'{name}' is {getattr(self, name)}; it must be from 0 to 1.")

    def loss(
        self, policy: torch.nn.Module, batch: Batch, draws: Draws
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """The mean loss of a batch.

        Numbers to watch: `steer_error` and `pedal_error`, mean absolute; `concept_accuracy`; with gates `mac_share` and
        `tile_share`.

        Raises:
            TrainConfigError: the policy is no driving policy.
        """
        import torch

        from vla_training.objectives.driving_noise import control_columns
        from vla_training.objectives.group_lasso import group_lasso

        if COMMAND not in batch.inputs:
            raise TrainConfigError(
                "objective 'driving' takes a driving policy. Choose another 'objective' or 'policy'."
            )
        if policy.training:
            batch = self._altered(batch, draws)
        found = policy(*batch.inputs.values())
        columns = control_columns(batch.target)
        control, concepts = batch.target.split([columns, len(CONCEPT_KEYS)], dim=1)
        errors = (found.control - control).abs()
        loss = (errors * self._weights(control)).mean(dim=0).sum()
        loss = loss + self.concepts * torch.nn.functional.binary_cross_entropy_with_logits(found.concepts, concepts)
        shares = {"mac_share": found.mac_share, "tile_share": found.tile_share}
        for name, most in (("mac_share", self.mac_budget), ("tile_share", self.tile_budget)):
            if (share := shares[name]) is not None:
                loss = loss + self.budget * torch.relu(share - self._allowed(most, batch.progress)).mean()
        if self.lasso_tiles or self.lasso_blocks:
            loss = loss + group_lasso(policy.modules(), self.lasso_tiles, self.lasso_blocks)
        with torch.no_grad():
            watched = {
                "steer_error": errors[:, 0].mean(),
                "pedal_error": errors[:, 1:].mean(),
                "concept_accuracy": ((found.concepts > 0) == (concepts > 0.5)).double().mean(),
            }
            watched |= {name: share.mean() for name, share in shares.items() if share is not None}
        return loss, watched

    def _allowed(self, most: float, progress: float) -> float:
        """The share that a command may use now, of what it may use in the end."""
        if progress >= self.budget_from:
            return most
        return 1 - (1 - most) * progress / self.budget_from

    def _weights(self, control: torch.Tensor) -> torch.Tensor:
        """Of each error (N, columns)."""
        import torch

        steer = self.steer * (1 + self.steer_curve * control[:, :1] ** 2)
        pedals = torch.where(control[:, 1:].abs() > self.pedal_used, self.pedal, self.pedal_rest)
        return torch.cat([steer, pedals], dim=1)

    def _altered(self, batch: Batch, draws: Draws) -> Batch:

        from vla_training.objectives.driving_noise import MIRRORED_BRANCHES, mirror, past_noise, relight

        command = batch.inputs[COMMAND]
        drawn = draws.uniform(len(command)) < self.mirror
        chosen = drawn & (command[:, list(MIRRORED_BRANCHES)].sum(dim=1) > 0)
        batch = mirror(batch, chosen)
        inputs = past_noise(batch.inputs, self.forget, draws)
        return replace(batch, inputs=relight(inputs, draws) if self.relight else inputs)
