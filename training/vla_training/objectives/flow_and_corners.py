"""Flow matching for a policy that sees pictures, which also says where the corners are.

The corners are an auxiliary target, in training alone: they teach the vision tower what a picture says long before the
actions do (auxiliary tasks: Jaderberg et al. 2016, arXiv 1611.05397).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vla_models.pusht.names import CORNERS, PLACE_UNIT, SEEN_CORNERS
from vla_training.errors import TrainConfigError
from vla_training.objectives.flow_matching import FlowMatching
from vla_training.objectives.on_the_way import asked

if TYPE_CHECKING:
    import torch

    from vla_models.draws import Draws
    from vla_models.policy import Batch

__all__ = ["FlowAndCorners"]


@dataclass(frozen=True)
class FlowAndCorners(FlowMatching):
    """`FlowMatching`, and `corners` times the mean squared error of the corners' features.

    A picture costs more than a chunk on its way: it is looked at once for `draws` of noise and time.
    """

    corners: float = 1.0
    draws: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.corners) and self.corners >= 0):
            raise TrainConfigError(f"'corners' is {self.corners}; it must be a finite number from 0 on.")
        if not 1 <= self.draws <= 64:
            raise TrainConfigError(f"'draws' is {self.draws}; it must be from 1 to 64.")

    def loss(
        self, policy: torch.nn.Module, batch: Batch, draws: Draws
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """The mean squared error of the velocity, and that of the corners.

        Numbers to watch: `velocity_loss` and `velocity_variance` (see `FlowMatching`); `corner_px` and
        `goal_px`, the mean distance of the block's and the goal's corners along an axis.

        Raises:
            TrainConfigError: the policy does not say where corners are.
        """
        if SEEN_CORNERS not in batch.inputs:
            raise TrainConfigError(
                "objective 'flow_and_corners' takes a policy that sees pictures and says where the corners are; this "
                f"one takes {', '.join(batch.inputs)}. Choose policy 'pi_zero_pixels', or another 'objective'."
            )
        inputs = {name: value for name, value in batch.inputs.items() if name != SEEN_CORNERS}
        way, time, wanted = self.drawn(batch.target.repeat_interleave(self.draws, dim=0), draws)
        found = asked(policy, replace(batch, inputs=inputs), way, time)
        velocity = (found.velocity - wanted).square().mean()
        wrong = found.corners - batch.inputs[SEEN_CORNERS]
        px = wrong[..., :2].detach().abs().mean(dim=(0, 2)) * PLACE_UNIT  # (16,): first x and y, see `features`
        watched = {
            "velocity_loss": velocity.detach(),
            "velocity_variance": wanted.var(),
            "corner_px": px[:CORNERS].mean(),
            "goal_px": px[CORNERS:].mean(),
        }
        return velocity + self.corners * wrong.square().mean(), watched
