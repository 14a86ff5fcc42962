"""The cell policies and their parts, for tests that import torch when they run."""

from __future__ import annotations

import torch

from vla_datasets.lerobot.windows import Windows
from vla_models.babyai_cnn.model import babyai_batch, babyai_inputs
from vla_models.babyai_cnn.preprocess import CAMERA
from vla_models.babyai_film.config import BabyAIFilmConfig
from vla_models.babyai_film.layers import CellFeatures
from vla_models.babyai_film.model import BabyAIFilm
from vla_models.babyai_moe.config import BabyAIMoeConfig
from vla_models.babyai_moe.layers import ExpertConv, UnitMask
from vla_models.babyai_moe.model import BabyAIMoe

__all__ = [
    "CAMERA",
    "BabyAIFilm",
    "BabyAIMoe",
    "CellFeatures",
    "ExpertConv",
    "UnitMask",
    "Windows",
    "babyai_batch",
    "babyai_inputs",
    "film",
    "missions",
    "moe",
    "torch",
]


def film() -> BabyAIFilm:
    """Of default size, with the same weights each time."""
    torch.manual_seed(0)
    return BabyAIFilm(BabyAIFilmConfig())


def moe(**options: int) -> BabyAIMoe:
    """Of default size, but for the options, with the same weights each time."""
    torch.manual_seed(0)
    return BabyAIMoe(BabyAIMoeConfig(**options))


def missions(count: int = 24) -> list[torch.Tensor]:
    """Inputs of both."""
    return list(babyai_inputs(count, seed=1).values())
