"""Names of the tower's tensors, each written once."""

from __future__ import annotations

__all__ = ["IMAGE_INPUT", "TOKENS"]

IMAGE_INPUT = "image"  # (N, 3, S, S), with the tower's normalization
TOKENS = "tokens"  # (N, tokens, width), by rows of patches
