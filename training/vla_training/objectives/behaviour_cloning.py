"""Behaviour cloning of discrete actions: predict the expert's action from what the policy sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vla_training.errors import TrainConfigError

if TYPE_CHECKING:
    import torch

    from vla_models.draws import Draws
    from vla_models.policy import Batch

__all__ = ["BehaviourCloning"]


@dataclass(frozen=True)
class BehaviourCloning:
    """Cross-entropy of the policy's logits (N, actions) with the expert's actions (N,)."""

    label_smoothing: float = 0.0  # share of the probability that all actions get

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing <= 1:
            raise TrainConfigError(f"'label_smoothing' is {self.label_smoothing}; it must be from 0 to 1.")

    def loss(
        self, policy: torch.nn.Module, batch: Batch, draws: Draws
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """The mean cross-entropy; `accuracy` is how often the largest logit is the expert's action.

        Raises:
            TrainConfigError: the policy's outputs are no logits of the actions to learn.
        """
        from torch.nn import functional

        logits = policy(*batch.inputs.values())
        if logits.ndim != 2 or batch.target.shape != logits.shape[:1] or batch.target.is_floating_point():
            raise TrainConfigError(
                f"objective 'behaviour_cloning' takes logits (N, actions) and whole numbers (N,) to learn; the policy "
                f"gives {tuple(logits.shape)} and {batch.target.dtype} {tuple(batch.target.shape)}. Choose another "
                "'objective' or 'policy'."
            )
        loss = functional.cross_entropy(logits, batch.target, label_smoothing=self.label_smoothing)
        accuracy = (logits.detach().argmax(1) == batch.target).double().mean()
        return loss, {"accuracy": accuracy}
