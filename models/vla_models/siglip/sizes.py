"""Sizes of a tower and what it sees: options that every policy with such a tower has."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from vla_models.errors import PolicyError

__all__ = ["SIGLIP_COLOUR", "TowerSizes"]

SIGLIP_COLOUR = (0.5, 0.5, 0.5)  # mean and deviation of red, green and blue that SigLIP was trained with


@dataclass(frozen=True)
class TowerSizes:
    """Defaults: 2.8 M parameters, 64 tokens."""

    policy: ClassVar[str] = "siglip"  # that the options are of, for messages

    tower_width: int = 192  # of a token
    tower_layers: int = 6
    tower_heads: int = 3
    tower_hidden: int = 768  # of a layer's two linear ones
    image_size: int = 128  # px of a side
    patch: int = 16  # px of a side; what is left of the picture at its right and bottom is not seen
    pixel_mean: tuple[float, ...] = SIGLIP_COLOUR  # of each colour in [0, 1], as the tower was trained
    pixel_std: tuple[float, ...] = SIGLIP_COLOUR
    camera: str = "front"

    def __post_init__(self) -> None:
        for name in ("pixel_mean", "pixel_std"):
            values = tuple(map(float, getattr(self, name)))  # JSON and TOML give lists
            object.__setattr__(self, name, values)
            if len(values) != 3 or not all(math.isfinite(v) and v >= 0 for v in values):
                raise PolicyError(f"{self.policy}: '{name}' is {list(values)}; it must be 3 numbers from 0 on.")
        if min(self.pixel_std) <= 0:
            raise PolicyError(f"{self.policy}: 'pixel_std' is {list(self.pixel_std)}; each must be above 0.")
        for name, most in _MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise PolicyError(f"{self.policy}: '{name}' is {getattr(self, name)}; it must be from 1 to {most}.")
        if self.tower_width % self.tower_heads:
            raise PolicyError(
                f"{self.policy}: 'tower_width' is {self.tower_width}, not a multiple of 'tower_heads', "
                f"{self.tower_heads}."
            )
        if self.patch > self.image_size:
            raise PolicyError(
                f"{self.policy}: 'patch' is {self.patch}; it must be at most 'image_size', {self.image_size}."
            )
        if not self.camera:
            raise PolicyError(f"{self.policy}: 'camera' is empty; give its name, such as front.")

    @property
    def side(self) -> int:
        """Patches in a row of the picture."""
        return self.image_size // self.patch

    @property
    def tokens(self) -> int:
        """One for each patch."""
        return self.side**2


_MOST = {
    **dict.fromkeys(("tower_width", "tower_hidden"), 65536),
    **dict.fromkeys(("tower_layers", "tower_heads", "patch"), 256),
    "image_size": 4096,
}
