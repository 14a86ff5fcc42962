"""The network: tokens of a picture and of the goal's, then the state, then the actions on their way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from vla_datasets.worlds.pusht_pixels.schema import GOAL_IMAGE, IMAGE, IMAGE_SHAPE
from vla_models.chunks.names import NOISE
from vla_models.pi_zero.experts import Cache
from vla_models.pi_zero.joint import JointExperts
from vla_models.pi_zero_pixels.batches import pixels_windows, seen
from vla_models.pi_zero_pixels.config import GRID, PiZeroPixelsConfig
from vla_models.pi_zero_pixels.tower import Tower
from vla_models.policy import Batch
from vla_models.pusht.batches import chunk_of
from vla_models.pusht.names import CORNERS, PATCHES_INPUT, SEEN_CORNERS, STATE_INPUT
from vla_models.pusht.observation import corner_rows, state_row, wave_count
from vla_models.pusht.pixels import patch_rows, pixels

__all__ = ["PiZeroPixels", "PixelsOutput"]

_TOKENS = 2 * CORNERS  # one for each corner of the block, and for each of the goal


class PixelsOutput(NamedTuple):
    """Of a batch of N, in training.

    Attributes:
        velocity: (K * N, horizon, 2), of K chunks on their way for each picture.
        corners: (N, 16, features), what the tokens say of the corners; see `observation.corner_rows`.
    """

    velocity: torch.Tensor
    corners: torch.Tensor


class PiZeroPixels(JointExperts):
    """`forward` is the velocity of a chunk on its way, and what the tokens say of the corners.

    Where it sees no picture of the goal, the goal is drawn in the plane, and the tower has all tokens ask that picture.
    """

    config: PiZeroPixelsConfig

    def __init__(self, config: PiZeroPixelsConfig) -> None:
        super().__init__(config, seen=_TOKENS)
        c = config
        self.windows = pixels_windows(c)
        # as they are: kept decoded beside the data set
        self.image_sides = dict.fromkeys((IMAGE, GOAL_IMAGE) if c.goal else (IMAGE,), IMAGE_SHAPE[0])
        features = 2 * wave_count(c.periods)
        tokens = c.attention_blocks()[0].count
        self.tower = Tower(c.channels, c.prefix_width, c.tower_hidden, c.tower_heads, c.tower_layers, features, tokens)
        if c.goal:
            self.there = nn.Parameter(0.02 * torch.randn(c.prefix_width))  # of tokens of the goal
        self.corners = nn.Linear(c.prefix_width, features)

    def adopted(self, given: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Weights of a policy that sees goals otherwise, as this one begins with them.

        Queries after the block's corners begin at random where the other one did not have them.
        """
        queries = self.tower.queries.detach().clone()
        common = min(len(queries), len(given["tower.queries"]))
        queries[:common] = given["tower.queries"][:common]
        return {**given, "tower.queries": queries}

    def forward(self, *inputs: torch.Tensor) -> PixelsOutput:
        """Of a batch of N.

        Args:
            inputs: in this order: image (N, 3, 96, 96) in [-1, 1], where it sees the goal that one's likewise, patches
                (N, 36, features) of `vla_models.pusht.pixels`, state (N, features), noise (K * N, horizon, 2), K chunks
                on their way for each picture, one behind another, and time (K * N,) in [0, 1], how far each is.
        """
        *pictures, patches, state, noise, time = inputs
        tokens = self.see(pictures, patches)
        each = len(noise) // len(state)
        known = tuple((k.repeat_interleave(each, 0), v.repeat_interleave(each, 0)) for k, v in self.keep(tokens, state))
        velocity = self.predict(noise, self.time_rows(time)[:, None], known)
        return PixelsOutput(velocity, self.corners(tokens))

    def condition(self, *inputs: torch.Tensor) -> tuple[Cache, ...]:
        """Keys and values of what is seen, and of the state that sees it."""
        *pictures, patches, state = inputs
        return self.keep(self.see(pictures, patches), state)

    def see(self, pictures: Sequence[torch.Tensor], patches: torch.Tensor) -> torch.Tensor:
        """Tokens (N, 16, width) of one picture, or of the plane's and the goal's."""
        tokens = [self.tower(picture, patches) for picture in pictures]
        return torch.cat([tokens[0], tokens[1] + self.there], dim=1) if self.config.goal else tokens[0]

    def seen_shapes(self) -> dict[str, tuple[int, ...]]:
        """Pictures, and where their patches are."""
        height, width, channels = IMAGE_SHAPE
        places = GRID * GRID, 2 * wave_count(self.config.periods)
        return {**dict.fromkeys(self.config.pictures, (channels, height, width)), PATCHES_INPUT: places}

    def prepare(self, samples: Mapping[str, Any]) -> Batch:
        """Pictures, patches and state, noise, and the expert's chunk (N, horizon, 2); for the loss, the true corners.

        Noise and what training changes (`batches.seen`) come from torch's own generator.
        """
        chunk, periods = chunk_of(samples), self.config.periods
        images, places = seen(samples, self.config, self.training)
        inputs = {
            **{name: pixels(pictures) for name, pictures in images.items()},
            PATCHES_INPUT: patch_rows(places.pusher, GRID, periods),
            STATE_INPUT: state_row(places.pusher, periods),
            SEEN_CORNERS: corner_rows(places, periods),
        }
        tensors = {name: torch.from_numpy(values).to(chunk.device) for name, values in inputs.items()}
        corners = tensors.pop(SEEN_CORNERS)
        return Batch({**tensors, NOISE: torch.randn_like(chunk), SEEN_CORNERS: corners}, chunk)
