"""Waypoints by imitation: the mean distance to where the car was (average displacement error, ADE)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vla_datasets.waymo.names import FUTURE, HERTZ
from vla_models.vlm_waypoint.motion import TIMES
from vla_training.errors import TrainConfigError

if TYPE_CHECKING:
    import torch

    from vla_models.draws import Draws
    from vla_models.policy import Batch

__all__ = ["AverageDisplacement"]


@dataclass(frozen=True)
class AverageDisplacement:
    """Metres between the waypoints of the policy's motion (N, 20, 2) and those of the one that was driven.

    Of K proposals (N, K, 20, 2) the nearest one alone learns to be nearer, and its score to be the highest, as in
    multiple-trajectory prediction (Cui et al. 2019, arXiv 1809.10732).
    """

    scorer: float = 1.0  # weight of the cross-entropy of scores, where there are proposals

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scorer) and self.scorer >= 0):
            raise TrainConfigError(f"'scorer' is {self.scorer}; it must be a finite number from 0 on.")

    def loss(
        self, policy: torch.nn.Module, batch: Batch, draws: Draws
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """The mean over all 20 waypoints.

        Numbers to watch: `ade_3s` and `ade_5s`, of the first 12 and of all waypoints of what is driven; of proposals
        `ade_nearest`, of the nearest one.

        Raises:
            TrainConfigError: the policy says no motion.
        """
        import torch

        found = policy(*batch.inputs.values())
        motion, scores = (found[:, None], None) if isinstance(found, torch.Tensor) else found[:2]
        wanted = batch.target
        if (
            motion.shape[::2] != wanted[:, None].shape[::2]
            or motion.shape[3:] != (2,)
            or wanted.shape[1:] != (FUTURE, 2)
        ):
            raise TrainConfigError(
                f"objective 'ade' takes motions (N, {FUTURE}, 2) or (N, K, {FUTURE}, 2); the policy gives "
                f"{tuple(motion.shape)} for {tuple(wanted.shape)}. Choose another 'objective' or 'policy'."
            )
        seconds = torch.from_numpy(TIMES).to(motion.device)
        away = torch.linalg.vector_norm(motion - wanted[:, None], dim=3) * seconds  # velocities of now fall out
        rows, each = torch.arange(len(wanted), device=away.device), away.mean(dim=2)
        nearest = each.detach().argmin(dim=1)
        loss = each[rows, nearest].mean()
        driven, watched = away[:, 0].detach(), {}
        if scores is not None:
            driven, watched = away[rows, scores.argmax(dim=1)].detach(), {"ade_nearest": loss.detach()}
            loss = loss + self.scorer * torch.nn.functional.cross_entropy(scores, nearest)
        return loss, {"ade_3s": driven[:, : 3 * HERTZ].mean(), "ade_5s": driven.mean(), **watched}
