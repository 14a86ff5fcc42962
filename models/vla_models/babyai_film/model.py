"""The network: cells, two convolutions, each modulated by the mission and cut at zero, then two Gemms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from vla_datasets.keys import ACTION
from vla_models.babyai_cnn.config import ACTIONS, FRAMES, VOCABULARY_SIZE
from vla_models.babyai_cnn.model import babyai_batch, babyai_inputs
from vla_models.babyai_cnn.names import ACTION_LOGITS
from vla_models.babyai_cnn.preprocess import CAMERA
from vla_models.babyai_film.config import BabyAIFilmConfig
from vla_models.babyai_film.layers import CELL, SIDE, CellFeatures, Film
from vla_models.policy import Batch, GraphSpec

__all__ = ["BabyAIFilm"]


class BabyAIFilm(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """The mission decides what every layer looks for; the previous action joins at the end."""

    windows: ClassVar[Mapping[str, Sequence[int]]] = {CAMERA: tuple(range(1 - FRAMES, 1)), ACTION: (-1, 0)}
    tile: ClassVar[int] = CELL  # `forward` also takes numbers of tiles of so many pixels

    def __init__(self, config: BabyAIFilmConfig) -> None:
        super().__init__()
        self.config = config
        words, channels = config.mission_features, config.channels
        self.mission = nn.Linear(VOCABULARY_SIZE, words)
        self.cells = CellFeatures(config.cell_features)
        self.film0 = Film(words, config.cell_features, FRAMES)
        self.conv1 = nn.Conv2d(FRAMES * config.cell_features, channels, 3, padding=1)
        self.film1 = Film(words, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.film2 = Film(words, channels)
        self.action_embedding = nn.Linear(ACTIONS, config.action_features)
        self.fusion = nn.Linear(channels * SIDE * SIDE + config.action_features, config.hidden)
        self.head = nn.Linear(config.hidden, ACTIONS)

    def forward(
        self,
        image: torch.Tensor,
        mission: torch.Tensor,
        previous_action: torch.Tensor,
        tiles: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Action logits (N, 7).

        Args:
            image: (N, 12, 56, 56) in [0, 1], four RGB frames, oldest first; with `tiles` their numbers (N, 4, 7, 7).
            mission: (N, 64), how often each word occurs in the mission.
            previous_action: (N, 7) one-hot, all zero at the start of an episode.
            tiles: (T, 3, 8, 8) in [0, 1], in training from a cache of tiles.
        """
        words = torch.relu(self.mission(mission))
        x = torch.relu(self.film0(self.cells(image, tiles), words))
        x = torch.relu(self.film1(self.conv1(x), words))
        x = torch.relu(self.film2(self.conv2(x), words))
        joined = torch.cat([x.flatten(1), self.action_embedding(previous_action)], dim=1)
        logits: torch.Tensor = self.head(torch.relu(self.fusion(joined)))
        return logits

    def graphs(self) -> tuple[GraphSpec, ...]:
        """One graph, one call a step."""
        return (GraphSpec("policy", self, babyai_inputs, (ACTION_LOGITS,)),)

    def prepare(self, samples: Mapping[str, Any]) -> Batch:
        """The inputs of `forward` and the expert's actions (N,); see `babyai_batch`."""
        return babyai_batch(samples)
