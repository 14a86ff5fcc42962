"""Behaviour cloning of a policy whose router chooses experts: all of them are to be used, and tried at first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vla_training.errors import TrainConfigError

if TYPE_CHECKING:
    import torch

    from vla_models.draws import Draws
    from vla_models.policy import Batch

__all__ = ["RoutedCloning"]


@dataclass(frozen=True)
class RoutedCloning:
    """Cross-entropy with the expert's actions, and the balance loss of Switch Transformer (Fedus et al., 2021).

    That is, for each layer, the number of experts times the sum over them of the share of the batch that the router
    gives an expert (hard, without gradient) times the expert's mean probability. An expert that gets more than the
    others loses probability, also where the router is undecided; equal use has no gradient.
    """

    balance: float = 0.1  # weight of that loss
    noise: float = 0.3  # Gumbel noise added to the router's logits before the largest is chosen
    noise_until: float = 0.33  # share of the training with noise; none after that

    def __post_init__(self) -> None:
        if not (self.balance >= 0 and math.isfinite(self.balance)):
            raise TrainConfigError(f"'balance' is {self.balance}; it must be a finite number from 0 on.")
        if not (self.noise >= 0 and math.isfinite(self.noise)):
            raise TrainConfigError(f"'noise' is {self.noise}; it must be a finite number from 0 on.")
        if not 0 <= self.noise_until <= 1:
            raise TrainConfigError(f"'noise_until' is {self.noise_until}; it must be from 0 to 1.")

    def loss(
        self, policy: torch.nn.Module, batch: Batch, draws: Draws
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """The mean loss of a batch.

        Numbers to watch: `accuracy`; `router_entropy` in nats, how undecided the router is about one mission (at most
        log of the experts); `use_L_E`, the share of the batch that the router gives expert E of layer L; `imbalance`,
        the balance loss, a mean over the layers: 1 for equal shares, at most the number of experts.

        Raises:
            TrainConfigError: the policy's outputs are no logits of the actions to learn.
        """
        import torch
        from torch.nn import functional

        noise = self.noise if batch.progress < self.noise_until else 0.0
        try:
            logits, routes = policy(*batch.inputs.values(), noise=noise, draws=draws)
        except TypeError as error:
            raise TrainConfigError(
                f"objective 'routed_cloning' takes a policy with a router ({error}). Choose another 'objective' or "
                "'policy'."
            ) from error
        loss = functional.cross_entropy(logits, batch.target)
        shares = routes.softmax(-1)  # (N, layers, experts)
        experts = shares.shape[-1]
        use = functional.one_hot(routes.argmax(-1), experts).to(shares.dtype).mean(0)  # (layers, experts), no gradient
        imbalance = experts * (use * shares.mean(0)).sum(-1).mean()
        with torch.no_grad():
            values = {
                "accuracy": (logits.argmax(1) == batch.target).double().mean(),
                "imbalance": imbalance.detach(),
                "router_entropy": -(shares * routes.log_softmax(-1)).sum(-1).mean(),
            }
            values |= {f"use_{layer}_{n}": share for layer, row in enumerate(use) for n, share in enumerate(row)}
        return loss + self.balance * imbalance, values
