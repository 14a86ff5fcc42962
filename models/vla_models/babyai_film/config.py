"""Sizes of the BabyAI FiLM policy."""

from __future__ import annotations

from dataclasses import dataclass

from vla_models.errors import PolicyError

__all__ = ["BabyAIFilmConfig"]


@dataclass(frozen=True)
class BabyAIFilmConfig:
    """Layer widths; the inputs are those of `babyai_cnn`. Defaults: 249,367 parameters."""

    cell_features: int = 16  # of a cell of one frame
    channels: int = 32  # of both convolutions
    mission_features: int = 64
    action_features: int = 16
    hidden: int = 128

    def __post_init__(self) -> None:
        sizes = (self.cell_features, self.channels, self.mission_features, self.action_features, self.hidden)
        if not all(isinstance(size, int) and 1 <= size <= 4096 for size in sizes):
            raise PolicyError(f"babyai_film: every width must be an integer from 1 to 4096; found {sizes}.")
