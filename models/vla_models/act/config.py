"""Sizes of ACT."""

from __future__ import annotations

from dataclasses import dataclass

from vla_models.errors import PolicyError
from vla_models.pusht.sizes import check_sizes

__all__ = ["ActConfig"]


@dataclass(frozen=True)
class ActConfig:
    """Sizes of network and chunk. Defaults: 0.5 M parameters, of which 0.3 M run on the device."""

    width: int = 64
    hidden: int = 256  # of a layer's two linear ones
    heads: int = 4
    encoder_layers: int = 4
    decoder_layers: int = 1  # the published code builds seven and takes what the first one says
    posterior_layers: int = 4  # of the encoder that training alone has
    latent: int = 32  # width of z
    dropout: float = 0.1
    horizon: int = 16  # steps of a chunk, from now on
    execute: int = 4  # of them that are done before the next one
    ensemble: float = 0.0  # decay of the weights of older chunks, asked for each step; 0: none, see `chunks.ensemble`
    periods: tuple[float, ...] = (128.0,)  # px, of the observation's sines

    def __post_init__(self) -> None:
        object.__setattr__(self, "periods", tuple(float(p) for p in self.periods))  # JSON and TOML give lists
        check_sizes("act", "direct", self.horizon, self.execute, 1, self.periods, self.ensemble)
        for name in ("width", "hidden", "latent"):
            if not 1 <= getattr(self, name) <= 65536:
                raise PolicyError(f"act: '{name}' is {getattr(self, name)}; it must be from 1 to 65536.")
        for name in ("heads", "encoder_layers", "decoder_layers", "posterior_layers"):
            if not 1 <= getattr(self, name) <= 256:
                raise PolicyError(f"act: '{name}' is {getattr(self, name)}; it must be from 1 to 256.")
        if self.width % self.heads:
            raise PolicyError(f"act: 'width' is {self.width}, not a multiple of 'heads', {self.heads}.")
        if not 0 <= self.dropout < 1:
            raise PolicyError(f"act: 'dropout' is {self.dropout}; it must be from 0 to below 1.")
