"""Sizes of the tile-gated driving policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vla_models.driving.sizes import check_sizes
from vla_models.errors import PolicyError

__all__ = ["COLUMNS", "TILE", "DrivingTilesConfig"]

COLUMNS = 2  # steer, throttle minus brake
TILE = 16  # output channels that a gate switches


@dataclass(frozen=True)
class DrivingTilesConfig:
    """Layer widths. Defaults: the dense network of 12.8 M parameters and 369 MMAC; `gated` gives it tile gates.

    A run may start from a saved policy that differs in `may_differ`: a dense network gets gates, all of them on.
    """

    may_differ: ClassVar[frozenset[str]] = frozenset({"past", "gated", "gate_hidden"})

    channels: tuple[int, ...] = (32, 64, 128, 256, 512, 512, 512, 1024)  # each convolution: 3x3, padding 1, ReLU
    strides: tuple[int, ...] = (2, 2, 2, 2, 2, 2, 2, 2)
    image_size: int = 256  # pixels; divides the world's 256
    pooled: bool = False  # the mean of the last map instead of all of it
    measure_features: int = 128
    fused: int = 512
    branch: tuple[int, ...] = (256, 256)  # hidden layers of each branch
    past: bool = True  # whether it is told its last action; without it cannot copy it instead of looking
    gated: bool = False
    gate_hidden: int = 64

    def __post_init__(self) -> None:
        for name in ("channels", "strides", "branch"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON and TOML give lists
        widths = (self.measure_features, self.fused, *self.branch, self.gate_hidden)
        check_sizes("driving_tiles", self.channels, self.strides, self.image_size, widths)
        for name in ("channels", "branch"):
            if self.gated and any(count % TILE for count in getattr(self, name)):
                raise PolicyError(
                    f"driving_tiles: '{name}' is {getattr(self, name)}; with gates each must be a multiple of {TILE}."
                )
