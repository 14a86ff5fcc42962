"""Names of the tensors of chunks, each written once."""

from __future__ import annotations

__all__ = ["ACTIONS", "NOISE"]

NOISE = "noise"  # (N, horizon, values): where a sampler begins; in training the chunk on its way
ACTIONS = "actions"  # (N, horizon, values)
