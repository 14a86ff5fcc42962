"""Sizes of the BabyAI mixture of experts, and its ablations."""

from __future__ import annotations

from dataclasses import dataclass

from vla_models.errors import PolicyError

__all__ = ["LAYERS", "BabyAIMoeConfig"]

LAYERS = 2  # convolutions with experts


@dataclass(frozen=True)
class BabyAIMoeConfig:
    """Layer widths; the inputs are those of `babyai_cnn`.

    Ablations: `experts = 1` (dense), `kept = 256` (no mask), `film = False` (the mission joins at the fusion).
    """

    experts: int = 4  # of each of the two convolutions; one is computed
    kept: int = 32  # of the hidden units; the others are zero
    film: bool = True  # the mission scales and shifts each channel
    cell_features: int = 16  # of a cell of one frame
    channels: int = 32  # of both convolutions
    mission_features: int = 64
    action_features: int = 16
    hidden: int = 256

    def __post_init__(self) -> None:
        widths = (self.cell_features, self.channels, self.mission_features, self.action_features, self.hidden)
        if not all(isinstance(size, int) and 1 <= size <= 4096 for size in widths):
            raise PolicyError(f"babyai_moe: every width must be an integer from 1 to 4096; found {widths}.")
        if not 1 <= self.experts <= 64:
            raise PolicyError(f"babyai_moe: 'experts' is {self.experts}; it must be from 1 to 64.")
        if not 1 <= self.kept <= self.hidden:
            raise PolicyError(f"babyai_moe: 'kept' is {self.kept}; it must be from 1 to 'hidden', {self.hidden}.")
