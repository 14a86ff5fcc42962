"""The network: the cells of `babyai_film`, two convolutions of experts, hidden units that the mission keeps."""

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
from vla_models.babyai_film.layers import CELL, SIDE, CellFeatures, Film
from vla_models.babyai_moe.config import LAYERS, BabyAIMoeConfig
from vla_models.babyai_moe.layers import ExpertConv, Router, UnitMask, Unmodulated
from vla_models.draws import Draws
from vla_models.policy import Batch, GraphSpec

__all__ = ["BabyAIMoe"]


class BabyAIMoe(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Router, FiLM and mask see the mission alone: what they choose stays for an episode."""

    windows: ClassVar[Mapping[str, Sequence[int]]] = {CAMERA: tuple(range(1 - FRAMES, 1)), ACTION: (-1, 0)}
    tile: ClassVar[int] = CELL  # `forward` also takes numbers of tiles of so many pixels

    def __init__(self, config: BabyAIMoeConfig) -> None:
        super().__init__()
        self.config = config
        words, channels = config.mission_features, config.channels
        self.mission = nn.Linear(VOCABULARY_SIZE, words)
        self.router = Router(words, LAYERS, config.experts)
        self.cells = CellFeatures(config.cell_features)
        self.film0 = Film(words, config.cell_features, FRAMES) if config.film else Unmodulated()
        self.conv1 = ExpertConv(config.experts, FRAMES * config.cell_features, channels)
        self.film1 = Film(words, channels) if config.film else Unmodulated()
        self.conv2 = ExpertConv(config.experts, channels, channels)
        self.film2 = Film(words, channels) if config.film else Unmodulated()
        self.action_embedding = nn.Linear(ACTIONS, config.action_features)
        joined = channels * SIDE * SIDE + config.action_features + (0 if config.film else words)
        self.fusion = nn.Linear(joined, config.hidden)
        self.mask = UnitMask(words, config.hidden, config.kept) if config.kept < config.hidden else None
        self.head = nn.Linear(config.hidden, ACTIONS)

    def forward(
        self,
        image: torch.Tensor,
        mission: torch.Tensor,
        previous_action: torch.Tensor,
        tiles: torch.Tensor | None = None,
        noise: float | None = None,
        draws: Draws | None = None,
    ) -> Any:
        """Action logits (N, 7); with `noise` also the logits of the router, (N, 2, experts).

        Args:
            image: (N, 12, 56, 56) in [0, 1], four RGB frames, oldest first; with `tiles` their numbers (N, 4, 7, 7).
            mission: (N, 64), how often each word occurs in the mission.
            previous_action: (N, 7) one-hot, all zero at the start of an episode.
            tiles: (T, 3, 8, 8) in [0, 1], in training from a cache of tiles.
            noise: of the objective: how much Gumbel noise of `draws` decides with the router; 0 for none.
        """
        words = torch.relu(self.mission(mission))
        routes = self.router(words)
        drawn = (noise * _gumbel(routes, draws)).unbind(1) if noise and draws is not None else [None] * LAYERS
        x = torch.relu(self.film0(self.cells(image, tiles), words))
        x = torch.relu(self.film1(self.conv1(x, routes[:, 0], drawn[0]), words))
        x = torch.relu(self.film2(self.conv2(x, routes[:, 1], drawn[1]), words))
        parts = [x.flatten(1), self.action_embedding(previous_action)]
        if not self.config.film:
            parts.append(words)
        hidden = torch.relu(self.fusion(torch.cat(parts, dim=1)))
        logits = self.head(hidden if self.mask is None else hidden * self.mask(words))
        return logits if noise is None else (logits, routes)

    def graphs(self) -> tuple[GraphSpec, ...]:
        """One graph, one call a step."""
        return (GraphSpec("policy", self, babyai_inputs, (ACTION_LOGITS,)),)

    def prepare(self, samples: Mapping[str, Any]) -> Batch:
        """The inputs of `forward` and the expert's actions (N,); see `babyai_batch`."""
        return babyai_batch(samples)


def _gumbel(like: torch.Tensor, draws: Draws) -> torch.Tensor:
    uniform = draws.uniform(*like.shape).clamp(1e-9, 1.0 - 1e-6)
    return -(-uniform.log()).log()
