"""Action Chunking with Transformers (Zhao et al. 2023, arXiv 2304.13705) over keypoints.

Norms are behind the residual adds (post-norm), as in the published code's default. What differs from it: the layers are
`nn.Transformer`'s, so learned places are added once to the tokens and not to the queries and keys of each layer, the
decoder begins with its queries and not with zeros, and one more norm ends the encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from vla_models.act.config import ActConfig
from vla_models.act.names import CHUNK
from vla_models.act.posterior import Posterior
from vla_models.chunks.names import ACTIONS
from vla_models.policy import Batch, GraphSpec
from vla_models.pusht.batches import chunk_of, places_of, pusht_windows
from vla_models.pusht.names import CORNERS, CORNERS_INPUT, STATE_INPUT
from vla_models.pusht.observation import token_inputs, wave_count

__all__ = ["Act", "ActNetwork", "ActOutput"]

_ACTION = 2  # x and y


class ActOutput(NamedTuple):
    """Of a batch of N, in training.

    Attributes:
        actions: (N, horizon, 2).
        mean: (N, latent), of z.
        log_variance: (N, latent).
    """

    actions: torch.Tensor
    mean: torch.Tensor
    log_variance: torch.Tensor


class ActNetwork(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """What runs on the device: an encoder over z, the state and the corners; a decoder that asks for each action.

    Args:
        config: the sizes.
        state: features of the state.
        corner: features of a corner.
    """

    def __init__(self, config: ActConfig, state: int, corner: int) -> None:
        super().__init__()
        self.config = c = config
        self.corners, self.state = nn.Linear(corner, c.width), nn.Linear(state, c.width)
        self.latent = nn.Linear(c.latent, c.width)
        self.places = nn.Parameter(torch.randn(2 + CORNERS, c.width))
        self.queries = nn.Parameter(torch.randn(c.horizon, c.width))
        layers = (c.encoder_layers, c.decoder_layers)
        self.transformer = nn.Transformer(c.width, c.heads, *layers, c.hidden, c.dropout, batch_first=True)
        self.out = nn.Linear(c.width, _ACTION)

    def forward(self, corners: torch.Tensor, state: torch.Tensor, z: torch.Tensor | None = None) -> torch.Tensor:
        """(N, horizon, 2).

        Args:
            corners: (N, 8, features), see `vla_models.pusht.observation`.
            state: (N, features).
            z: (N, latent); the prior's mean, zeros, on the device.
        """
        z = state.new_zeros(len(state), self.config.latent) if z is None else z
        first = torch.stack([self.latent(z), self.state(state)], dim=1)
        tokens = torch.cat([first, self.corners(corners)], dim=1) + self.places
        actions: torch.Tensor = self.out(self.transformer(tokens, self.queries.expand(len(state), -1, -1)))
        return actions


class Act(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """`forward` is the autoencoder; what is exported is its decoder."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        self.config = config
        self.windows = pusht_windows(config.horizon)
        waves_each = wave_count(config.periods)
        self._state, self._corner = 2 * waves_each, 4 * waves_each  # features: of a place, and of two
        self.network = ActNetwork(config, self._state, self._corner)
        self.posterior = Posterior(config, self._state, _ACTION)

    def forward(self, corners: torch.Tensor, state: torch.Tensor, chunk: torch.Tensor) -> ActOutput:
        """The chunk made of a z that is drawn with torch's own generator, as dropout is.

        Args:
            corners: (N, 8, features), see `vla_models.pusht.observation`.
            state: (N, features).
            chunk: (N, horizon, 2), the expert's.
        """
        mean, log_variance = self.posterior(state, chunk)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        return ActOutput(self.network(corners, state, z), mean, log_variance)

    def graphs(self) -> tuple[GraphSpec, ...]:
        """One graph, one call a chunk, without the chunk as an input."""
        return (GraphSpec("policy", self.network, self._example, (ACTIONS,)),)

    def _example(self, batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return {
            CORNERS_INPUT: torch.rand(batch, CORNERS, self._corner, generator=generator) * 2 - 1,
            STATE_INPUT: torch.rand(batch, self._state, generator=generator) * 2 - 1,
        }

    def prepare(self, samples: Mapping[str, Any]) -> Batch:
        """Corners and state, and the expert's chunk (N, horizon, 2), which is what the autoencoder sees and returns."""
        chunk, places = chunk_of(samples), places_of(samples)
        inputs = {name: make(places) for name, make in token_inputs(self.config.periods).items()}
        tensors = {name: torch.from_numpy(values).to(chunk.device) for name, values in inputs.items()}
        return Batch({**tensors, CHUNK: chunk}, chunk)
