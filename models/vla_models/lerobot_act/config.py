"""Sizes of an ACT of LeRobot, and what it observes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vla_models.errors import PolicyError
from vla_models.lerobot.features import Feature, check_count, read_feature, read_inputs

__all__ = ["ACTIVATIONS", "LerobotActConfig"]

ACTIVATIONS = ("relu", "gelu")
_BACKBONES = ("resnet18", "resnet34")
_NAME = "lerobot_act"


@dataclass(frozen=True)
class LerobotActConfig:
    """Made by `vla-train import-lerobot`; there are no defaults of what is observed."""

    inputs: Mapping[str, Any]  # the fields of a `Feature` by the name of the network's input
    action: Mapping[str, Any]  # likewise
    horizon: int = 100  # steps of a chunk, from now on
    execute: int = 100  # of them that are done before the next one
    ensemble: float | None = None  # decay of the weights of older chunks, asked for each step; none: no ensemble
    backbone: str = "resnet18"
    width: int = 512
    hidden: int = 3200  # of a layer's two linear ones
    heads: int = 8
    encoder_layers: int = 4
    decoder_layers: int = 1
    activation: str = "relu"
    norm_first: bool = False

    def __post_init__(self) -> None:
        _ = self.observed, self.does  # refused here, not when they are needed
        check_count(_NAME, self, "horizon", 1, 1024)
        check_count(_NAME, self, "execute", 1, self.horizon)
        for name, most in (("width", 8192), ("hidden", 65536)):
            check_count(_NAME, self, name, 1, most)
        for name in ("heads", "encoder_layers", "decoder_layers"):
            check_count(_NAME, self, name, 1, 256)
        if self.width % self.heads or self.width % 4:
            raise PolicyError(
                f"{_NAME}: 'width' is {self.width}; it must be a multiple of 4 and of {self.heads} heads."
            )
        if self.ensemble is not None and not (math.isfinite(self.ensemble) and abs(self.ensemble) <= 100):
            raise PolicyError(f"{_NAME}: 'ensemble' is {self.ensemble}; it must be from -100 to 100, or none.")
        for name, known in (("backbone", _BACKBONES), ("activation", ACTIVATIONS)):
            if getattr(self, name) not in known:
                raise PolicyError(f"{_NAME}: '{name}' is '{getattr(self, name)}'; it must be {' or '.join(known)}.")

    @property
    def observed(self) -> dict[str, Feature]:
        """What is seen, by the name of the network's input."""
        return read_inputs(_NAME, self.inputs)

    @property
    def does(self) -> Feature:
        """An action."""
        return read_feature(_NAME, "action", self.action)
