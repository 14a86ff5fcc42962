"""Flow matching (Lipman et al. 2022, arXiv 2210.02747): learn the velocity from noise to the expert's chunk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vla_models.sampling import VELOCITY
from vla_training.errors import TrainConfigError
from vla_training.objectives.on_the_way import predicted

if TYPE_CHECKING:
    import torch

    from vla_models.draws import Draws
    from vla_models.policy import Batch

__all__ = ["FlowMatching"]


@dataclass(frozen=True)
class FlowMatching:
    """A chunk on its way is noise + time * (chunk - noise); its velocity is chunk - noise.

    Times are 1 - Beta(`power`, 1), times `cutoff`: more of them are near the noise, where it is decided which chunk it
    becomes (pi-zero, Black et al. 2024, arXiv 2410.24164).
    """

    teaches: ClassVar[str] = VELOCITY

    power: float = 1.5
    cutoff: float = 0.999

    def __post_init__(self) -> None:
        if not (math.isfinite(self.power) and self.power > 0):
            raise TrainConfigError(f"'power' is {self.power}; it must be a finite number above 0.")
        if not 0 < self.cutoff <= 1:
            raise TrainConfigError(f"'cutoff' is {self.cutoff}; it must be above 0 and at most 1.")

    def loss(
        self, policy: torch.nn.Module, batch: Batch, draws: Draws
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """The mean squared error of the velocity.

        `velocity_variance`, to watch: what a network that knows nothing would have.

        Raises:
            TrainConfigError: the policy begins with no noise, or says something of another shape.
        """
        way, time, wanted = self.drawn(batch.target, draws)
        velocity = predicted("flow_matching", policy, batch, way, time)
        return (velocity - wanted).square().mean(), {"velocity_variance": wanted.var()}

    def drawn(self, chunk: torch.Tensor, draws: Draws) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Chunks on their way (N, ...) from noise to these, how far they are (N,), and their velocities (N, ...)."""

        noise = draws.normal(*chunk.shape)
        drawn = draws.uniform(len(chunk))
        time = (1 - drawn ** (1 / self.power)) * self.cutoff  # U ** (1 / a) is Beta(a, 1)
        way = noise + time.reshape(-1, *[1] * (chunk.ndim - 1)) * (chunk - noise)
        return way, time, chunk - noise
