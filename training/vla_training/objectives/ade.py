"""Waypoints by imitation: the mean distance to where the car was (average displacement error, ADE)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vla_datasets.waymo.names import FUTURE, HERTZ
from vla_models.vlm_waypoint.motion import TIMES
from vla_training.errors import TrainConfigError

if TYPE_CHECKING:
    import torch

    from vla_models.policy import Batch

__all__ = ["AverageDisplacement"]


@dataclass(frozen=True)
class AverageDisplacement:
    """Metres between the waypoints of the policy's motion (N, 20, 2) and those of the one that was driven."""

    def loss(
        self, policy: torch.nn.Module, batch: Batch, generator: torch.Generator
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """The mean over all 20 waypoints; `ade_3s` and `ade_5s` are those of the first 12 and of all.

        Raises:
            TrainConfigError: the policy says no motion.
        """
        import torch

        motion = policy(*batch.inputs.values())
        given = motion.shape if isinstance(motion, torch.Tensor) else ()
        if given != batch.target.shape or given[1:] != (FUTURE, 2):
            raise TrainConfigError(
                f"objective 'ade' takes a motion (N, {FUTURE}, 2); the policy gives "
                f"{tuple(given) or 'several outputs'} for {tuple(batch.target.shape)}. "
                "Choose another 'objective' or 'policy'."
            )
        seconds = torch.from_numpy(TIMES).to(motion.device)
        away = torch.linalg.vector_norm(motion - batch.target, dim=2) * seconds  # equal velocities of now fall out
        loss = away.mean()
        return loss, {"ade_3s": away[:, : 3 * HERTZ].detach().mean(), "ade_5s": loss.detach()}
