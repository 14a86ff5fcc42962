"""The network: corners and their goals, then the state, then the actions on their way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from vla_models.chunks.names import NOISE
from vla_models.pi_zero.config import PiZeroConfig
from vla_models.pi_zero.experts import Cache
from vla_models.pi_zero.joint import JointExperts
from vla_models.policy import Batch
from vla_models.pusht.batches import chunk_of, places_of, pusht_windows
from vla_models.pusht.names import CORNERS, CORNERS_INPUT
from vla_models.pusht.observation import token_inputs, wave_count

__all__ = ["PiZero"]


class PiZero(JointExperts):
    """`forward` is the velocity of a chunk on its way."""

    def __init__(self, config: PiZeroConfig) -> None:
        super().__init__(config, seen=CORNERS)
        self.windows = pusht_windows(config.horizon)
        self.corners = nn.Linear(*self.seen_shapes()[CORNERS_INPUT][1:], config.prefix_width)
        self.which = nn.Parameter(0.02 * torch.randn(CORNERS, config.prefix_width))

    def forward(
        self, corners: torch.Tensor, state: torch.Tensor, noise: torch.Tensor, time: torch.Tensor
    ) -> torch.Tensor:
        """(N, horizon, 2).

        Args:
            corners: (N, 8, features), see `vla_models.pusht.observation`.
            state: (N, features).
            noise: (N, horizon, 2), the chunk on its way.
            time: (N,) in [0, 1], how far it is.
        """
        return self.predict(noise, self.time_rows(time)[:, None], self.condition(corners, state))

    def condition(self, corners: torch.Tensor, state: torch.Tensor) -> tuple[Cache, ...]:
        """Keys and values of what is seen, and of the state that sees it."""
        return self.keep(self.corners(corners) + self.which, state)

    def seen_shapes(self) -> dict[str, tuple[int, ...]]:
        """A token for each corner: where it is, and where it should be."""
        return {CORNERS_INPUT: (CORNERS, 4 * wave_count(self.config.periods))}

    def prepare(self, samples: Mapping[str, Any]) -> Batch:
        """Corners and state, noise (from torch's own generator) and the expert's chunk (N, horizon, 2)."""
        chunk, places = chunk_of(samples), places_of(samples)
        inputs = {name: make(places) for name, make in token_inputs(self.config.periods).items()}
        tensors = {name: torch.from_numpy(values).to(chunk.device) for name, values in inputs.items()}
        return Batch({**tensors, NOISE: torch.randn_like(chunk)}, chunk)
