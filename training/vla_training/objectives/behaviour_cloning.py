"""Behaviour cloning of discrete actions: predict the expert's action from what the policy sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from vla_models.policy import Batch

__all__ = ["BehaviourCloning"]


@dataclass(frozen=True)
class BehaviourCloning:
    """Cross-entropy of the policy's logits (N, actions) with the expert's actions (N,)."""

    label_smoothing: float = 0.0  # share of the probability that all actions get

    def loss(
        self, policy: torch.nn.Module, batch: Batch, generator: torch.Generator
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """The mean cross-entropy; `accuracy` is how often the largest logit is the expert's action."""
        from torch.nn import functional

        logits = policy(*batch.inputs.values())
        loss = functional.cross_entropy(logits, batch.target, label_smoothing=self.label_smoothing)
        accuracy = (logits.detach().argmax(1) == batch.target).double().mean()
        return loss, {"accuracy": accuracy}
