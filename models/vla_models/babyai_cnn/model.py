"""The network: only Conv, Relu, Concat and Gemm (the embeddings too), so nothing is left for the host."""

from __future__ import annotations

import torch
from torch import nn

from vla_models.babyai_cnn.config import ACTIONS, FRAMES, IMAGE_SIZE, VOCABULARY_SIZE, BabyAICnnConfig
from vla_models.keys import ACTION_LOGITS, IMAGE, MISSION, PREVIOUS_ACTION

__all__ = ["BabyAICnn"]


class BabyAICnn(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Three strided convolutions over four frames, joined with mission and previous-action features."""

    input_names = (IMAGE, MISSION, PREVIOUS_ACTION)
    output_names = (ACTION_LOGITS,)

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

    def example_inputs(self, batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
        """Random inputs: pixels in [0, 1], five words, one previous action each."""
        generator = torch.Generator().manual_seed(seed)
        words = torch.randint(0, VOCABULARY_SIZE, (batch, 5), generator=generator)
        actions = torch.randint(0, ACTIONS, (batch,), generator=generator)
        return {
            IMAGE: torch.rand(batch, 3 * FRAMES, IMAGE_SIZE, IMAGE_SIZE, generator=generator),
            MISSION: nn.functional.one_hot(words, VOCABULARY_SIZE).sum(1).float(),
            PREVIOUS_ACTION: nn.functional.one_hot(actions, ACTIONS).float(),
        }
