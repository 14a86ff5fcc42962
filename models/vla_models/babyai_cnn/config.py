"""Sizes of the BabyAI CNN policy."""

from __future__ import annotations

from dataclasses import dataclass

from vla_models.errors import PolicyError

__all__ = ["ACTIONS", "FRAMES", "IMAGE_SIZE", "VOCABULARY_SIZE", "BabyAICnnConfig"]

FRAMES = 4  # stacked images, oldest first
IMAGE_SIZE = 56  # pixels, both sides
ACTIONS = 7  # Minigrid's action numbers
VOCABULARY_SIZE = 64  # rows of the mission input; words.py uses the first ones, the rest are spare


@dataclass(frozen=True)
class BabyAICnnConfig:
    """Layer widths; the inputs are fixed by the environment. Defaults: 1.69 M parameters, 11.6 MMAC."""

    channels: tuple[int, int, int] = (32, 64, 128)  # each convolution: 3x3, stride 2, padding 1, ReLU
    mission_features: int = 32
    action_features: int = 16
    hidden: int = 256

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))  # JSON and TOML give lists
        if len(self.channels) != 3:
            raise PolicyError(f"babyai_cnn: 'channels' has {len(self.channels)} entries; it must have 3.")
        sizes = (*self.channels, self.mission_features, self.action_features, self.hidden)
        if not all(isinstance(size, int) and 1 <= size <= 4096 for size in sizes):
            raise PolicyError(f"babyai_cnn: every width must be an integer from 1 to 4096; found {sizes}.")
