"""What an objective is: a frozen dataclass, whose fields are its options, with a loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

    from vla_models.draws import Draws
    from vla_models.policy import Batch

__all__ = ["Objective"]


class Objective(Protocol):
    """A loss. It owns its randomness: timesteps, noise and dropped conditions come from its draws.

    One of a policy that samples has `teaches`: what the policy's sampler `asks` the network for. It may have
    `sampled(policy, batch, draws)` too: numbers that say how far what the policy itself says is from what it should.

    One whose numbers are no means over frames may have `judge(frames) -> (numbers, score)` too: in evaluation its loss
    then also watches arrays (N, ...) of each frame, and all of the held-out ones are given to it. The best checkpoint
    is that with the largest score.
    """

    def loss(
        self, policy: torch.nn.Module, batch: Batch, draws: Draws
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """The mean loss of a batch, a scalar to differentiate, and detached numbers to watch by name.

        Args:
            policy: called with the batch's inputs in their order; it may be wrapped: only `forward` and weights count.
            batch: what `Policy.prepare` made.
            draws: on the policy's device, seeded anew for each batch.
        """
