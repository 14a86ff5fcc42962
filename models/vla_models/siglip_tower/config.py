"""Sizes of a tower and of the decoder that it is trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vla_models.errors import PolicyError
from vla_models.siglip.sizes import TowerSizes

__all__ = ["SiglipTowerConfig"]


@dataclass(frozen=True)
class SiglipTowerConfig(TowerSizes):
    """Defaults: a tower of 2.8 M parameters; 0.3 M more in training alone."""

    policy: ClassVar[str] = "siglip_tower"

    decoder_width: int = 96
    decoder_layers: int = 2
    decoder_heads: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, most in (("decoder_width", 65536), ("decoder_layers", 256), ("decoder_heads", 256)):
            if not 1 <= getattr(self, name) <= most:
                raise PolicyError(f"siglip_tower: '{name}' is {getattr(self, name)}; it must be from 1 to {most}.")
        if self.decoder_width % self.decoder_heads:
            raise PolicyError(
                f"siglip_tower: 'decoder_width' is {self.decoder_width}, not a multiple of 'decoder_heads', "
                f"{self.decoder_heads}."
            )
        if self.image_size % self.patch:
            raise PolicyError(
                f"siglip_tower: 'image_size' is {self.image_size}, not a multiple of 'patch', {self.patch}."
            )
