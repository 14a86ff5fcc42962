"""The network: a time, a frequency, a state and the actions on their way, over words and pictures in turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from vla_datasets.unified.slots import SIZE
from vla_models.chunks.names import ACTIONS, NOISE
from vla_models.policy import GraphSpec
from vla_models.rdt.batches import RdtBatch, rdt_batch, rdt_windows, starting
from vla_models.rdt.config import RdtConfig
from vla_models.rdt.layers import Block, Cache, Perceptron, rms_norm
from vla_models.rdt.names import (
    FEATURES_INPUT,
    FREQUENCY_INPUT,
    LANGUAGE_INPUT,
    LANGUAGE_MASK,
    MASK_INPUT,
    STATE_INPUT,
    WAVES,
    image_input,
)
from vla_models.rdt.places import grid_places, group_places
from vla_models.rdt.sentences import Sentences
from vla_models.rdt.tower import Tower
from vla_models.rdt.vectors import frequency_row, mask_row, periods
from vla_models.sampling.dpm_solver import DpmLoop, DpmSolver
from vla_models.sampling.noise_schedule import TRAINING_STEPS

__all__ = ["Condition", "Rdt"]

_KNOWN = 3  # tokens in front of the actions: time, frequency, state


class Condition(NamedTuple):
    """What does not depend on the sampler's step.

    Attributes:
        known: (N, 2, width), the tokens of frequency and state.
        mask: (N, 1, width), what the mask adds to the first layer of each action's token.
        caches: keys and values for each block: of words for even ones, of pictures for odd ones.
        words: (N, 1, 1, tokens), which of the words' tokens count.
    """

    known: torch.Tensor
    mask: torch.Tensor
    caches: tuple[Cache, ...]
    words: torch.Tensor


class Embedder(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A token of a number's waves."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(WAVES, width), nn.Linear(width, width)
        for layer in (self.up, self.down):
            nn.init.normal_(layer.weight, std=0.02)

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        token: torch.Tensor = self.down(nn.functional.silu(self.up(waves)))
        return token


class Rdt(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """`forward` is the chunk that a chunk on its way comes from."""

    def __init__(self, config: RdtConfig) -> None:
        super().__init__()
        self.config = c = config
        self.windows = rdt_windows(config)
        self._sentences = Sentences(config)
        self.tower = Tower(c.channels) if c.channels else nn.Identity()
        self.words = Perceptron(c.language_width, c.width, c.width)
        self.pictures = Perceptron(c.channels[-1] if c.channels else c.feature_width, c.width, c.width)
        self.vector = Perceptron(2 * SIZE, c.width, c.width, c.width)  # of values and their mask: state and actions
        self.blocks = nn.ModuleList(Block(c.width, c.heads) for _ in range(c.depth))
        self.norm, self.out = rms_norm(c.width), Perceptron(c.width, c.width, SIZE)
        self.apply(_begin)
        nn.init.zeros_(self.out[-1].weight)
        self.time, self.frequency = Embedder(c.width), Embedder(c.width)
        self.places = nn.Parameter(torch.from_numpy(group_places(c.width, (1, 1, 1, c.horizon))))
        self.word_places = nn.Parameter(torch.from_numpy(grid_places(c.width, (c.language_tokens,))))
        self.picture_places = nn.Parameter(self._picture_places())
        self.register_buffer("periods", torch.from_numpy(periods()).float(), persistent=False)
        self.register_buffer("valid", torch.from_numpy(mask_row(config)), persistent=False)

    def _picture_places(self) -> torch.Tensor:
        """Published: none within a picture, whose features know it."""
        history, cameras, *sides = self.config.grid
        if self.config.channels:
            return torch.from_numpy(grid_places(self.config.width, self.config.grid))
        return torch.from_numpy(grid_places(self.config.width, (history, cameras))).repeat_interleave(sides[1], dim=0)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """(N, horizon, 128), zero where the robot has no value.

        Args:
            inputs: as `prepare` names them, with the chunk on its way (N, horizon, 128) in the place of noise; behind
                them its time (N,) in [0, 1], where 1 is all noise.
        """
        *observation, x, time = inputs
        return self.predict(x, self.time_rows(time), self.condition(*observation))

    def condition(self, *observation: torch.Tensor) -> Condition:
        """Tokens, keys and values that all steps share."""
        state, mask, frequency, words, words_mask, *pictures = observation
        first = self.vector[0]
        of_mask = nn.functional.linear(mask, first.weight[:, SIZE:])[:, None]
        tokens = torch.cat([self.frequency(frequency)[:, None], self._vectors(state[:, None], of_mask)], dim=1)
        seen = torch.cat([self.tower(picture) for picture in pictures], dim=1)
        conditions = (self.words(words) + self.word_places, self.pictures(seen) + self.picture_places)
        caches = tuple(b.condition.keys_values(conditions[n % 2]) for n, b in enumerate(self.blocks))
        return Condition(tokens + self.places[1:_KNOWN], of_mask, caches, words_mask[:, None, None] > 0.5)

    def _vectors(self, values: torch.Tensor, of_mask: torch.Tensor) -> torch.Tensor:
        """Tokens of vectors (N, T, 128) and what their mask adds; as the layers would make them of both, joined."""
        first, *more = self.vector
        x = nn.functional.linear(values, first.weight[:, :SIZE], first.bias) + of_mask
        for layer in more:
            x = layer(x)
        return x

    def time_rows(self, times: torch.Tensor) -> torch.Tensor:
        """Of times (T,): (T, width)."""
        angles = times[:, None] * TRAINING_STEPS / self.periods
        rows: torch.Tensor = self.time(torch.cat([angles.cos(), angles.sin()], dim=1))
        return rows

    def predict(self, x: torch.Tensor, time_row: torch.Tensor, condition: Condition) -> torch.Tensor:
        """The chunk that chunks (N, horizon, 128) on their way come from."""
        time = (time_row[:, None] + self.places[:1]).expand(len(x), -1, -1)
        actions = self._vectors(x, condition.mask) + self.places[_KNOWN:]
        tokens = torch.cat([time, condition.known, actions], dim=1)
        for number, block in enumerate(self.blocks):
            tokens = block(tokens, condition.caches[number], None if number % 2 else condition.words)
        chunk: torch.Tensor = self.out(self.norm(tokens[:, _KNOWN:])) * self.valid
        return chunk

    def graphs(self) -> tuple[GraphSpec, ...]:
        """One graph, one call a chunk: conditions once, then all steps."""
        steps = self.config.sampler_steps
        sampler = DpmLoop(self, steps, SIZE) if self.config.sampler_loop else DpmSolver(self, steps)
        return (GraphSpec("policy", sampler, self._example, (ACTIONS,)),)

    def _example(self, batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
        c, generator = self.config, torch.Generator().manual_seed(seed)
        mask = torch.from_numpy(mask_row(c)).expand(batch, -1)
        words = torch.arange(c.language_tokens) < 1 + c.language_tokens // 2

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(batch, *shape, generator=generator)

        if c.channels:
            shape = (3, c.image_height, c.image_width)
            seen = {image_input(*each): normal(*shape).clamp(-1, 1) for each in c.pictures}
        else:
            seen = {FEATURES_INPUT: normal(len(c.pictures) * c.feature_tokens, c.feature_width)}
        return {
            STATE_INPUT: normal(SIZE) * mask,
            MASK_INPUT: mask.clone(),
            FREQUENCY_INPUT: torch.from_numpy(frequency_row(c.frequency)).expand(batch, -1).clone(),
            LANGUAGE_INPUT: normal(c.language_tokens, c.language_width) * words[:, None],
            LANGUAGE_MASK: words.float().expand(batch, -1).clone(),
            **seen,
            NOISE: starting(c, normal(c.horizon, SIZE) * mask[:, None]),
        }

    def prepare(self, samples: Mapping[str, Any]) -> RdtBatch:
        """The inputs of `forward`, noise (from torch's own generator) and the expert's chunk (N, horizon, 128)."""
        return rdt_batch(self.config, self._sentences, samples)


def _begin(module: nn.Module) -> None:
    """As published: Xavier's weights and no biases."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
