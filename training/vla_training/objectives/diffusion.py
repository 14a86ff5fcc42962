"""Denoising diffusion (Ho et al. 2020, arXiv 2006.11239): learn the expert's chunk from the chunk with noise.

The noise is that of the sampler's schedule, at steps drawn evenly; every step's error counts alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vla_models.sampling import ACTION
from vla_training.objectives.on_the_way import noised, predicted

if TYPE_CHECKING:
    import torch

    from vla_models.draws import Draws
    from vla_models.policy import Batch

__all__ = ["Diffusion"]


@dataclass(frozen=True)
class Diffusion:
    """A chunk on its way is alpha * chunk + sigma * noise; the network says the chunk."""

    teaches: ClassVar[str] = ACTION

    def loss(
        self, policy: torch.nn.Module, batch: Batch, draws: Draws
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """The mean squared error of the chunk.

        `variance`, to watch: what a network that knows nothing would have.

        Raises:
            TrainConfigError: the policy begins with no noise, or says something of another shape.
        """

        chunk = batch.target
        noise = draws.normal(*chunk.shape)
        way, time = noised(chunk, noise, draws)
        found = predicted("diffusion", policy, batch, way, time)
        return (found - chunk).square().mean(), {"variance": chunk.var()}
