"""The network: only Conv, Relu, Concat and Gemm (the embeddings too), so nothing is left for the host."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from vla_datasets.keys import ACTION, TASK, is_pad, tile_table
from vla_models.babyai_cnn.config import ACTIONS, FRAMES, IMAGE_SIZE, VOCABULARY_SIZE, BabyAICnnConfig
from vla_models.babyai_cnn.names import ACTION_LOGITS, IMAGE, MISSION, PREVIOUS_ACTION, TILES
from vla_models.babyai_cnn.preprocess import CAMERA
from vla_models.babyai_cnn.words import bag_of_words
from vla_models.errors import ObservationError
from vla_models.policy import Batch, GraphSpec

__all__ = ["BabyAICnn", "babyai_batch", "babyai_inputs"]


class BabyAICnn(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Three strided convolutions over four frames, joined with mission and previous-action features."""

    windows: ClassVar[Mapping[str, Sequence[int]]] = {CAMERA: tuple(range(1 - FRAMES, 1)), ACTION: (-1, 0)}

    def __init__(self, config: BabyAICnnConfig) -> None:
        super().__init__()
        self.config = config
        first, second, third = config.channels
        self.conv1 = nn.Conv2d(3 * FRAMES, first, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(first, second, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(second, third, 3, stride=2, padding=1)
        side = IMAGE_SIZE // 8
        self.mission_embedding = nn.Linear(VOCABULARY_SIZE, config.mission_features)
        self.action_embedding = nn.Linear(ACTIONS, config.action_features)
        joined = third * side * side + config.mission_features + config.action_features
        self.fusion = nn.Linear(joined, config.hidden)
        self.head = nn.Linear(config.hidden, ACTIONS)
        self.to(memory_format=torch.channels_last)  # as `prepare` makes the images: the faster convolutions

    def forward(self, image: torch.Tensor, mission: torch.Tensor, previous_action: torch.Tensor) -> torch.Tensor:
        """Action logits (N, 7).

        Args:
            image: (N, 12, 56, 56) in [0, 1], four RGB frames, oldest first.
            mission: (N, 64), how often each word occurs in the mission.
            previous_action: (N, 7) one-hot, all zero at the start of an episode.
        """
        x = torch.relu(self.conv1(image))
        x = torch.relu(self.conv2(x))
        x = torch.relu(self.conv3(x))
        joined = torch.cat(
            [x.flatten(1), self.mission_embedding(mission), self.action_embedding(previous_action)], dim=1
        )
        logits: torch.Tensor = self.head(torch.relu(self.fusion(joined)))
        return logits

    def graphs(self) -> tuple[GraphSpec, ...]:
        """One graph, one call a step."""
        return (GraphSpec("policy", self, babyai_inputs, (ACTION_LOGITS,)),)

    def prepare(self, samples: Mapping[str, Any]) -> Batch:
        """The inputs of `forward` and the expert's actions (N,); see `babyai_batch`."""
        return babyai_batch(samples)


def babyai_inputs(batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random inputs: pixels in [0, 1], five words, one previous action each."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(0, VOCABULARY_SIZE, (batch, 5), generator=generator)
    actions = torch.randint(0, ACTIONS, (batch,), generator=generator)
    return {
        IMAGE: torch.rand(batch, 3 * FRAMES, IMAGE_SIZE, IMAGE_SIZE, generator=generator),
        MISSION: nn.functional.one_hot(words, VOCABULARY_SIZE).sum(1).float(),
        PREVIOUS_ACTION: nn.functional.one_hot(actions, ACTIONS).float(),
    }


def babyai_batch(samples: Mapping[str, Any]) -> Batch:
    """From windows of BabyAI frames: stacked images, words, the action before and the action to learn.

    From a cache of tiles (see `vla_datasets.lerobot.tiles`) the image is their numbers (N, 4, 7, 7), and the tiles
    (T, 3, 8, 8) are one input more.

    Raises:
        ObservationError: an action that does not exist, or a mission with an unknown word.
    """
    frames, actions = samples[CAMERA], samples[ACTION].flatten(1)  # (N, 4, H, W, 3), (N, 2)
    tiles = samples.get(tile_table(CAMERA))
    if int(actions.min()) < 0 or int(actions.max()) >= ACTIONS:
        raise ObservationError(f"The data has an action outside 0..{ACTIONS - 1}.")
    known = ~samples[is_pad(ACTION)][:, :1]  # before the first step of an episode there was no action
    previous = nn.functional.one_hot(actions[:, 0], ACTIONS).float() * known
    words = torch.from_numpy(np.stack([_words(task) for task in samples[TASK]])).to(frames.device)
    if tiles is None:
        pixels = torch.cat(frames.unbind(1), dim=-1).float().div_(255.0)  # (N, H, W, 12)
        inputs = {IMAGE: pixels.permute(0, 3, 1, 2), MISSION: words, PREVIOUS_ACTION: previous}
    else:
        inputs = {IMAGE: frames.int(), MISSION: words, PREVIOUS_ACTION: previous}
        inputs[TILES] = tiles.permute(0, 3, 1, 2).float().div_(255.0)
    return Batch(inputs, actions[:, 1])


_words = functools.lru_cache(maxsize=4096)(bag_of_words)  # a data set has few missions and many frames
