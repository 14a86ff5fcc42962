"""Flow matching (Lipman et al. 2022, arXiv 2210.02747): learn the velocity from noise to the expert's chunk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vla_models.pusht.names import NOISE
from vla_training.errors import TrainConfigError

if TYPE_CHECKING:
    import torch

    from vla_models.policy import Batch

__all__ = ["FlowMatching"]

_TIME = "time"


@dataclass(frozen=True)
class FlowMatching:
    """A chunk on its way is noise + time * (chunk - noise); its velocity is chunk - noise.

    Times are 1 - Beta(`power`, 1), times `cutoff`: more of them are near the noise, where it is decided which chunk it
    becomes (pi-zero, Black et al. 2024, arXiv 2410.24164).
    """

    power: float = 1.5
    cutoff: float = 0.999

    def __post_init__(self) -> None:
        if not (math.isfinite(self.power) and self.power > 0):
            raise TrainConfigError(f"'power' is {self.power}; it must be a finite number above 0.")
        if not 0 < self.cutoff <= 1:
            raise TrainConfigError(f"'cutoff' is {self.cutoff}; it must be above 0 and at most 1.")

    def loss(
        self, policy: torch.nn.Module, batch: Batch, generator: torch.Generator
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """The mean squared error of the velocity.

        `velocity_variance`, to watch: what a network that knows nothing would have.

        Raises:
            TrainConfigError: the policy begins with no noise, or its velocity is not of the chunk's shape.
        """
        import torch

        chunk = batch.target
        if NOISE not in batch.inputs:
            raise TrainConfigError(
                f"objective 'flow_matching' takes a policy that begins with '{NOISE}'; this one takes "
                f"{', '.join(batch.inputs)}. Give it 'method' \"flow\", or choose another 'objective'."
            )
        noise = torch.randn(chunk.shape, generator=generator, device=chunk.device)
        drawn = torch.rand(len(chunk), generator=generator, device=chunk.device)
        time = (1 - drawn ** (1 / self.power)) * self.cutoff  # U ** (1 / a) is Beta(a, 1)
        share = time.reshape(-1, *[1] * (chunk.ndim - 1))
        inputs = {**batch.inputs, NOISE: noise + share * (chunk - noise), _TIME: time}
        velocity, wanted = policy(*inputs.values()), chunk - noise
        if velocity.shape != wanted.shape:
            raise TrainConfigError(
                f"objective 'flow_matching' compares equal shapes; the policy gives {tuple(velocity.shape)}, the "
                f"actions to learn are {tuple(wanted.shape)}. Choose another 'objective' or 'policy'."
            )
        loss = (velocity - wanted).square().mean()
        return loss, {"velocity_variance": wanted.var()}
