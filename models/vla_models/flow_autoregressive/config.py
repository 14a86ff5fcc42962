"""Sizes of the policy of two heads."""

from __future__ import annotations

from dataclasses import dataclass

from vla_models.attention_blocks import Block
from vla_models.errors import PolicyError
from vla_models.flow_autoregressive.names import FLOW, HEADS, TOKENS
from vla_models.pi_zero.config import PiZeroConfig
from vla_models.pusht.names import CORNERS_INPUT, STATE_INPUT

__all__ = ["FlowAutoregressiveConfig"]


@dataclass(frozen=True)
class FlowAutoregressiveConfig(PiZeroConfig):
    """pi-zero's sizes, those of the tokens, and which head acts. Defaults: 0.5 M parameters."""

    bins: int = 128  # of each coordinate of an action
    reach: float = 256.0  # px from the pusher that the bins cover, each way; what is further is in the last one
    head: str = FLOW  # that acts, or "autoregressive"; both are trained, exported and compiled

    @property
    def policy(self) -> str:
        """The name in messages."""
        return "flow_autoregressive"

    def attention_blocks(self) -> tuple[Block, ...]:
        """pi-zero's, and the tokens, one by one; they do not see the flow's actions, which do not see them."""
        tokens = Block(TOKENS, 2 * self.horizon, (CORNERS_INPUT, STATE_INPUT), causal=True)
        return (*super().attention_blocks(), tokens)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("bins", 2 <= self.bins <= 256, "it must be from 2 to 256")
        self._check("reach", 1 <= self.reach <= 1024, "it must be from 1 to 1024 px")
        if self.head not in HEADS:
            raise PolicyError(f"{self.policy}: 'head' is '{self.head}'; it must be one of {', '.join(HEADS)}.")
