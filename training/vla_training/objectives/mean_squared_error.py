"""Regression of continuous actions: the mean squared error of a chunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vla_training.errors import TrainConfigError

if TYPE_CHECKING:
    import torch

    from vla_models.draws import Draws
    from vla_models.policy import Batch

__all__ = ["MeanSquaredError"]


@dataclass(frozen=True)
class MeanSquaredError:
    """Squared distance of the policy's chunk (N, steps, actions) to the expert's; steps behind the end do not count."""

    def loss(
        self, policy: torch.nn.Module, batch: Batch, draws: Draws
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """The mean over all values that count; `rmse` is its root.

        Raises:
            TrainConfigError: the policy's outputs have not the shape of the actions to learn.
        """
        import torch

        chunk = policy(*batch.inputs.values())
        given = chunk.shape if isinstance(chunk, torch.Tensor) else ()  # several outputs have no shape
        if given != batch.target.shape:  # shapes that broadcast would give a loss of something else
            raise TrainConfigError(
                f"objective 'mean_squared_error' compares equal shapes; the policy gives "
                f"{tuple(given) or 'several outputs'}, the actions to learn are {tuple(batch.target.shape)}. Choose "
                "another 'objective' or 'policy'."
            )
        squares = (chunk - batch.target) ** 2
        counts = torch.ones_like(squares)
        if batch.target_is_pad is not None:
            counts = counts * (~batch.target_is_pad)[..., None]
        loss = (squares * counts).sum() / counts.sum().clamp(min=1)
        return loss, {"rmse": loss.detach().sqrt()}
