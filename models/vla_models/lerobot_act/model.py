"""The network: images through a ResNet, their features, the state and the latent through an encoder; a decoder that
asks for each action.

The latent is zero, the prior's mean, as in LeRobot when it acts: its token is a constant, and the encoder of the
autoencoder is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from vla_datasets.keys import ACTION
from vla_models.chunks.names import ACTIONS
from vla_models.lerobot.backbone import CHANNELS, ResNet, feature_size
from vla_models.lerobot.batches import observed_inputs, random_inputs, window_keys
from vla_models.lerobot_act.config import LerobotActConfig
from vla_models.lerobot_act.layers import DecoderLayer, EncoderLayer, image_places
from vla_models.policy import Batch, GraphSpec

__all__ = ["LerobotAct"]


class LerobotAct(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """`forward` is a chunk of normalized actions."""

    def __init__(self, config: LerobotActConfig) -> None:
        super().__init__()
        self.config = c = config
        self.windows = window_keys(c.observed, 1, range(c.horizon))
        vectors = {name: f.shape[0] for name, f in c.observed.items() if not f.is_image}
        images = {name: f.seen[1:] for name, f in c.observed.items() if f.is_image}
        self.vectors = nn.ModuleDict({name: nn.Linear(size, c.width) for name, size in vectors.items()})
        self.latent = nn.Parameter(torch.randn(1, c.width))
        self.places = nn.Parameter(torch.randn(1 + len(vectors), c.width))  # of latent and vectors
        self.queries = nn.Parameter(torch.randn(c.horizon, c.width))
        if images:
            self.trunk, self.pixels = ResNet(c.backbone), nn.Conv2d(CHANNELS[-1], c.width, 1)
            places = [image_places(feature_size(size), c.width) for size in images.values()]
            self.register_buffer("image_places", torch.cat(places), persistent=False)
        self.images = tuple(images)
        sizes = (c.width, c.heads, c.hidden, c.activation, c.norm_first)
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(c.encoder_layers))
        self.encoder_norm = nn.LayerNorm(c.width) if c.norm_first else nn.Identity()
        self.decoder = nn.ModuleList(DecoderLayer(*sizes) for _ in range(c.decoder_layers))
        self.decoder_norm = nn.LayerNorm(c.width)
        self.out = nn.Linear(c.width, c.does.shape[0])

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """(N, horizon, actions) of the inputs in the config's order, normalized vectors (N, n) and images."""
        given = dict(zip(self.config.inputs, inputs, strict=True))
        count = len(inputs[0])
        tokens = [self.latent.expand(count, 1, -1)]
        tokens += [linear(given[name])[:, None] for name, linear in self.vectors.items()]
        tokens += [self.pixels(self.trunk(given[name])).flatten(2).transpose(1, 2) for name in self.images]
        x = torch.cat(tokens, dim=1)
        places = torch.cat([self.places, self.image_places]) if self.images else self.places
        for layer in self.encoder:
            x = layer(x, places)
        seen = self.encoder_norm(x)
        x = torch.zeros_like(self.queries).expand(count, -1, -1)
        for layer in self.decoder:
            x = layer(x, self.queries, seen, places)
        actions: torch.Tensor = self.out(self.decoder_norm(x))
        return actions

    def graphs(self) -> tuple[GraphSpec, ...]:
        """One graph, one call a chunk."""
        return (GraphSpec("policy", self, self._example, (ACTIONS,)),)

    def _example(self, batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
        return random_inputs(self.config.observed, 1, batch, torch.Generator().manual_seed(seed))

    def prepare(self, samples: Mapping[str, Any]) -> Batch:
        """The network's inputs, and the normalized chunk (N, horizon, actions)."""
        chunk = samples[ACTION]
        target = torch.from_numpy(self.config.does.normalized(chunk.cpu().numpy())).to(chunk.device)
        return Batch(observed_inputs(self.config.observed, samples), target)
