"""Learning from pictures alone: what hidden patches look like (masked autoencoders, He et al. 2021, 2111.06377)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vla_training.errors import TrainConfigError

if TYPE_CHECKING:
    import torch

    from vla_models.draws import Draws
    from vla_models.policy import Batch

__all__ = ["MaskedPatches"]


@dataclass(frozen=True)
class MaskedPatches:
    """Squared error of the pixels of hidden patches, which have mean 0 and variance 1 in each patch."""

    hidden: float = 0.75  # share of the patches; the published one

    def __post_init__(self) -> None:
        if not 0 < self.hidden < 1:
            raise TrainConfigError(f"'hidden' is {self.hidden}; it must be between 0 and 1.")

    def loss(
        self, policy: torch.nn.Module, batch: Batch, draws: Draws
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """The mean over hidden patches; 1 is what saying the patch's mean colour gives.

        Raises:
            TrainConfigError: the policy is no tower, or too few patches would be seen or hidden.
        """
        wanted = batch.target
        if wanted.ndim != 3 or len(batch.inputs) != 1:
            raise TrainConfigError(
                "objective 'masked_patches' takes a policy 'siglip_tower'. Choose another 'objective' or 'policy'."
            )
        count, tokens = wanted.shape[:2]
        seen = round(tokens * (1 - self.hidden))
        if not 0 < seen < tokens:
            raise TrainConfigError(f"'hidden' is {self.hidden}; of {tokens} patches {seen} would be seen.")
        order = draws.uniform(count, tokens).argsort(dim=1)
        (picture,) = batch.inputs.values()
        found = policy(picture, order[:, :seen], order[:, seen:])
        hidden = wanted.gather(1, order[:, seen:, None].expand(-1, -1, wanted.shape[2]))
        return (found - hidden).square().mean(), {}
