"""Names of ACT's tensors that no other policy has."""

from __future__ import annotations

__all__ = ["CHUNK"]

CHUNK = "chunk"  # (N, horizon, 2): the expert's chunk, which the autoencoder's encoder sees in training
