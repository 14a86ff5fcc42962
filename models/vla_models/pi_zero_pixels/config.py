"""Sizes of the pi-zero style policy that sees pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vla_models.attention_blocks import Block
from vla_models.chunks.names import ACTIONS
from vla_models.errors import PolicyError
from vla_models.pi_zero.config import PiZeroConfig
from vla_models.pusht.names import CORNERS, GOAL_INPUT, IMAGE_INPUT, STATE_INPUT

__all__ = ["GRID", "PATCH", "PiZeroPixelsConfig"]

PATCH = 16  # pixels of a patch's side: what the tower's three convolutions step over
GRID = 6  # patches along a side of Push-T's picture of 96 pixels


@dataclass(frozen=True)
class PiZeroPixelsConfig(PiZeroConfig):
    """Sizes of the tower, beside those of the experts. Its tokens are as wide as the prefix expert.

    A run may start from a saved policy that differs in `may_differ`: one of a single goal learns to see others.
    """

    may_differ: ClassVar[frozenset[str]] = frozenset({"goal", "hindsight", "shift"})

    channels: tuple[int, ...] = (32, 64)  # of the tower's first two convolutions; the third has the tokens' width
    tower_layers: int = 2  # of the transformer over the patches
    tower_hidden: int = 256
    tower_heads: int = 4
    goal: bool = False  # whether it sees a picture of the goal, by the same tower
    hindsight: float = 0.0  # share of training's frames whose goal is where the episode left the block
    shift: int = 4  # most pixels by which training moves a picture, each way, and all places with it

    @property
    def policy(self) -> str:
        """The name in messages."""
        return "pi_zero_pixels"

    @property
    def pictures(self) -> tuple[str, ...]:
        """The network's inputs that are pictures."""
        return (IMAGE_INPUT, GOAL_INPUT) if self.goal else (IMAGE_INPUT,)

    def attention_blocks(self) -> tuple[Block, ...]:
        """The tokens' types, and who sees whom: one for each corner of the block, and for each of the goal."""
        each = 2 * CORNERS // len(self.pictures)
        seen = (Block(name, each, tuple(n for n in self.pictures if n != name)) for name in self.pictures)
        known = (*self.pictures, STATE_INPUT)
        return (*seen, Block(STATE_INPUT, 1, self.pictures), Block(ACTIONS, self.horizon, known))

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "channels", tuple(self.channels))  # JSON and TOML give lists
        if len(self.channels) != 2 or not all(1 <= c <= 4096 for c in self.channels):
            raise PolicyError(f"{self.policy}: 'channels' is {list(self.channels)}; it must be two from 1 to 4096.")
        if not 1 <= self.tower_hidden <= 65536:
            raise PolicyError(f"{self.policy}: 'tower_hidden' is {self.tower_hidden}; it must be from 1 to 65536.")
        for name in ("tower_layers", "tower_heads"):
            if not 1 <= getattr(self, name) <= 256:
                raise PolicyError(f"{self.policy}: '{name}' is {getattr(self, name)}; it must be from 1 to 256.")
        if self.prefix_width % self.tower_heads:
            raise PolicyError(
                f"{self.policy}: 'prefix_width' is {self.prefix_width}, not a multiple of 'tower_heads', "
                f"{self.tower_heads}."
            )
        if not 0 <= self.shift <= 48:
            raise PolicyError(f"{self.policy}: 'shift' is {self.shift}; it must be from 0 to 48 pixels.")
        if not 0 <= self.hindsight <= 1:
            raise PolicyError(f"{self.policy}: 'hindsight' is {self.hindsight}; it must be from 0 to 1.")
        if self.hindsight and not self.goal:
            raise PolicyError(f"{self.policy}: 'hindsight' is {self.hindsight}; without 'goal' no goal is seen.")
