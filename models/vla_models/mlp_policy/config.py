"""Sizes of the multilayer perceptron."""

from __future__ import annotations

from dataclasses import dataclass

from vla_models.errors import PolicyError
from vla_models.pusht.sizes import check_sizes

__all__ = ["MlpPolicyConfig"]


@dataclass(frozen=True)
class MlpPolicyConfig:
    """Sizes of network, chunk and sampler. Defaults: 1.2 M parameters."""

    method: str = "flow"  # a chunk from noise in Euler steps; "diffusion": by DPM-Solver++; "direct": at once
    width: int = 256
    blocks: int = 4  # residual: norm, linear to twice the width, SiLU, linear
    horizon: int = 16  # steps of a chunk, from now on
    execute: int = 4  # of them that are done before the next one
    ensemble: float = 0.0  # decay of the weights of older chunks, asked for each step; 0: none, see `chunks.ensemble`
    sampler_steps: int = 10  # of a flow or a diffusion
    periods: tuple[float, ...] = (128.0,)  # px, of the observation's sines

    def __post_init__(self) -> None:
        object.__setattr__(self, "periods", tuple(float(p) for p in self.periods))  # JSON and TOML give lists
        check_sizes(
            "mlp_policy", self.method, self.horizon, self.execute, self.sampler_steps, self.periods, self.ensemble
        )
        if not (4 <= self.width <= 4096 and self.width % 2 == 0):
            raise PolicyError(f"mlp_policy: 'width' is {self.width}; it must be an even number from 4 to 4096.")
        if not 1 <= self.blocks <= 64:
            raise PolicyError(f"mlp_policy: 'blocks' is {self.blocks}; it must be from 1 to 64.")
