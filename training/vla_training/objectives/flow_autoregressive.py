"""Both heads of a policy at once: flow matching of its chunk, and cross-entropy of its tokens.

Each token is said behind those of the expert that are before it (teacher forcing).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vla_models.flow_autoregressive.names import TOKENS
from vla_training.errors import TrainConfigError
from vla_training.objectives.flow_matching import FlowMatching
from vla_training.objectives.on_the_way import asked

if TYPE_CHECKING:
    import torch

    from vla_models.draws import Draws
    from vla_models.policy import Batch

__all__ = ["FlowAutoregressiveObjective"]


@dataclass(frozen=True)
class FlowAutoregressiveObjective(FlowMatching):
    """The mean squared error of the velocity, and `token_weight` times the cross-entropy of a token, in nats."""

    token_weight: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.token_weight) and self.token_weight >= 0):
            raise TrainConfigError(f"'token_weight' is {self.token_weight}; it must be a finite number from 0 on.")

    def loss(
        self, policy: torch.nn.Module, batch: Batch, draws: Draws
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """The sum of both.

        Numbers to watch: `flow` and `cross_entropy`, its parts; `velocity_variance`, what a network that knows nothing
        would have of the one; `accuracy`, how often the likeliest bin is the expert's.

        Raises:
            TrainConfigError: the policy says no tokens.
        """
        from torch.nn import functional

        if TOKENS not in batch.inputs:
            raise TrainConfigError(
                f"objective 'flow_autoregressive' takes a policy that sees '{TOKENS}' in training; this one takes "
                f"{', '.join(batch.inputs)}. Choose policy 'flow_autoregressive', or another 'objective'."
            )
        way, time, wanted = self.drawn(batch.target, draws)
        found, tokens = asked(policy, batch, way, time), batch.inputs[TOKENS]
        flow = (found.velocity - wanted).square().mean()
        cross_entropy = functional.cross_entropy(found.logits.flatten(0, 1), tokens.flatten())
        watched = {
            "flow": flow.detach(),
            "cross_entropy": cross_entropy.detach(),
            "velocity_variance": wanted.var(),
            "accuracy": (found.logits.detach().argmax(-1) == tokens).double().mean(),
        }
        return flow + self.token_weight * cross_entropy, watched
