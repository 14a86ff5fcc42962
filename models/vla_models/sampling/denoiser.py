"""What a sampler asks of a network."""

from __future__ import annotations

from typing import Any, Protocol

import torch

__all__ = ["Denoiser"]


class Denoiser(Protocol):
    """A policy whose `forward(*observation, noise, time)` is `predict` of all of it, for training."""

    def condition(self, *observation: torch.Tensor) -> Any:
        """What does not depend on the step: computed once a chunk."""

    def time_rows(self, times: torch.Tensor) -> torch.Tensor:
        """What the network knows of each of the times (T,): (T, width)."""

    def predict(self, x: torch.Tensor, time_row: torch.Tensor, condition: Any) -> torch.Tensor:
        """Of a chunk (N, horizon, actions) on its way at times (N or 1, width): the velocity, or the action."""
