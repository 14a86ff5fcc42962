"""Sizes of the pi-zero style policy."""

from __future__ import annotations

from dataclasses import dataclass

from vla_models.attention_blocks import Block
from vla_models.chunks.names import ACTIONS
from vla_models.errors import PolicyError
from vla_models.pusht.names import CORNERS, CORNERS_INPUT, STATE_INPUT
from vla_models.pusht.sizes import check_sizes

__all__ = ["PiZeroConfig"]


@dataclass(frozen=True)
class PiZeroConfig:
    """Sizes of experts, chunk and sampler. Defaults: 0.5 M parameters, trained on two cores in about an hour."""

    prefix_width: int = 64  # of the expert of what is seen
    prefix_hidden: int = 256
    action_width: int = 64  # of the expert of state and actions
    action_hidden: int = 256
    depth: int = 4  # layers of both experts
    heads: int = 4
    key_heads: int = 1  # heads of queries share keys and values
    head_width: int = 16  # even: rotary positions turn pairs
    horizon: int = 16  # steps of a chunk, from now on
    execute: int = 4  # of them that are done before the next one
    ensemble: float = 0.0  # decay of the weights of older chunks, asked for each step; 0: none, see `chunks.ensemble`
    sampler_steps: int = 10
    periods: tuple[float, ...] = (128.0,)  # px, of the observation's sines

    @property
    def policy(self) -> str:
        """The name in messages."""
        return "pi_zero"

    def attention_blocks(self) -> tuple[Block, ...]:
        """The tokens' types, and who sees whom."""
        return (
            Block(CORNERS_INPUT, CORNERS),
            Block(STATE_INPUT, 1, (CORNERS_INPUT,)),
            Block(ACTIONS, self.horizon, (CORNERS_INPUT, STATE_INPUT)),
        )

    def __post_init__(self) -> None:
        object.__setattr__(self, "periods", tuple(float(p) for p in self.periods))  # JSON and TOML give lists
        check_sizes(self.policy, "flow", self.horizon, self.execute, self.sampler_steps, self.periods, self.ensemble)
        for name in ("prefix_width", "prefix_hidden", "action_width", "action_hidden"):
            self._check(name, 2 <= getattr(self, name) <= 65536, "it must be from 2 to 65536")
        for name in ("depth", "heads", "key_heads"):
            self._check(name, 1 <= getattr(self, name) <= 256, "it must be from 1 to 256")
        for name in ("action_width", "head_width"):  # halves: sines and cosines, pairs of rotary positions
            even = getattr(self, name) % 2 == 0 and 2 <= getattr(self, name) <= 65536
            self._check(name, even, "it must be an even number from 2 on")
        if self.heads % self.key_heads:
            raise PolicyError(
                f"{self.policy}: 'heads' is {self.heads}, not a multiple of 'key_heads', {self.key_heads}."
            )

    def _check(self, name: str, fits: bool, what: str) -> None:
        if not fits:
            raise PolicyError(f"{self.policy}: '{name}' is {getattr(self, name)}; {what}.")
