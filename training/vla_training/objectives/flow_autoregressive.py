"""Both heads of a policy at once: flow matching of its chunk, and cross-entropy of its tokens.

Each token is said behind those of the expert that are before it (teacher forcing), of which some are seen as other bins
(`token_noise`): a chunk goes on as it began, so a head that sees only right tokens repeats them and hardly looks at
what the policy observes, and at run time it goes on from its own mistakes (Bengio et al. 2015, arXiv 1506.03099).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    """The mean squared error of the velocity, and `token_weight` times the cross-entropy of a token, in nats.

    `token_noise` is the share of the seen tokens that are any bin, drawn evenly.
    """

    token_weight: float = 0.1
    token_noise: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.token_weight) and self.token_weight >= 0):
            raise TrainConfigError(f"'token_weight' is {self.token_weight}; it must be a finite number from 0 on.")
        if not 0 <= self.token_noise <= 1:
            raise TrainConfigError(f"'token_noise' is {self.token_noise}; it must be from 0 to 1.")

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
        tokens = batch.inputs[TOKENS]
        bins = getattr(policy, "module", policy).config.bins if self.token_noise else 0  # several processes wrap it
        found = asked(policy, self._seen(batch, bins, draws), way, time)
        flow = (found.velocity - wanted).square().mean()
        cross_entropy = functional.cross_entropy(found.logits.flatten(0, 1), tokens.flatten())
        watched = {
            "flow": flow.detach(),
            "cross_entropy": cross_entropy.detach(),
            "velocity_variance": wanted.var(),
            "accuracy": (found.logits.detach().argmax(-1) == tokens).double().mean(),
        }
        return flow + self.token_weight * cross_entropy, watched

    def _seen(self, batch: Batch, bins: int, draws: Draws) -> Batch:
        """The batch with the tokens that the policy sees."""
        if not self.token_noise:
            return batch
        tokens = batch.inputs[TOKENS]
        count, length = tokens.shape
        other = (draws.uniform(count, length) * bins).to(tokens)
        seen = other.where(draws.uniform(count, length) < self.token_noise, tokens)
        return replace(batch, inputs={**batch.inputs, TOKENS: seen})
