"""Names of this policy's tensors and heads that no other policy has."""

from __future__ import annotations

__all__ = ["AUTOREGRESSIVE", "FLOW", "HEADS", "TOKENS"]

TOKENS = "tokens"  # (N, 2 * horizon): bins of the expert's x_1, y_1, x_2, ..., which later tokens see in training
FLOW, AUTOREGRESSIVE = HEADS = ("flow", "autoregressive")  # and the graphs, one of which runs for an observation
