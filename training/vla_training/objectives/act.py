"""ACT (Zhao et al. 2023, arXiv 2304.13705): a chunk through a conditional variational autoencoder.

What is averaged is what the published code averages: the distance over all values of the batch, the divergence over the
batch alone, with its sum over z (Kingma and Welling 2014, arXiv 1312.6114, appendix B).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vla_models.act.names import CHUNK
from vla_training.errors import TrainConfigError

if TYPE_CHECKING:
    import torch

    from vla_models.draws import Draws
    from vla_models.policy import Batch

__all__ = ["ActObjective"]


@dataclass(frozen=True)
class ActObjective:
    """L1 distance of the chunks (N, steps, actions), and how far the posterior of z is from a standard normal."""

    kl_weight: float = 10.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.kl_weight) and self.kl_weight >= 0):
            raise TrainConfigError(f"'kl_weight' is {self.kl_weight}; it must be a finite number from 0 on.")

    def loss(
        self, policy: torch.nn.Module, batch: Batch, draws: Draws
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """The distance plus `kl_weight` times the divergence.

        Numbers to watch: `l1`, in the chunk's units, with z from the posterior; `kl`, in nats.

        Raises:
            TrainConfigError: the policy is no autoencoder of chunks.
        """
        if CHUNK not in batch.inputs:
            raise TrainConfigError(
                f"objective 'act' takes a policy that sees the '{CHUNK}' in training; this one takes "
                f"{', '.join(batch.inputs)}. Choose policy 'act', or another 'objective'."
            )
        found = policy(*batch.inputs.values())
        l1 = (found.actions - batch.target).abs().mean()
        mean, log_variance = found.mean, found.log_variance
        kl = ((mean.square() + log_variance.exp() - 1 - log_variance) / 2).sum(dim=1).mean()
        return l1 + self.kl_weight * kl, {"l1": l1.detach(), "kl": kl.detach()}
