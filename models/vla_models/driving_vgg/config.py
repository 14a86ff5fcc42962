"""Sizes of the VGG driving policy."""

from __future__ import annotations

from dataclasses import dataclass

from vla_models.driving.sizes import check_sizes
from vla_models.errors import PolicyError

__all__ = ["COLUMNS", "DrivingVggConfig"]

COLUMNS = 3  # steer, throttle, brake


@dataclass(frozen=True)
class DrivingVggConfig:
    """Layer widths. Defaults: 2.5 M parameters, 82.6 MMAC. With `measure_features` 0 it sees the image alone."""

    channels: tuple[int, ...] = (64, 64, 64, 64, 64)  # each convolution: 3x3, padding 1, ReLU
    strides: tuple[int, ...] = (2, 2, 2, 2, 1)
    frames: int = 4  # stacked images
    image_size: int = 128  # pixels; divides the world's 256
    measure_features: int = 64  # of command and measures, beside the last map
    hidden: tuple[int, ...] = (512, 256)
    bias: bool = True

    def __post_init__(self) -> None:
        for name in ("channels", "strides", "hidden"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON and TOML give lists
        check_sizes("driving_vgg", self.channels, self.strides, self.image_size, self.hidden)
        if not 1 <= self.frames <= 16:
            raise PolicyError(f"driving_vgg: 'frames' is {self.frames}; it must be from 1 to 16.")
        if not 0 <= self.measure_features <= 4096:
            raise PolicyError(f"driving_vgg: 'measure_features' is {self.measure_features}; it must be 0 to 4096.")
