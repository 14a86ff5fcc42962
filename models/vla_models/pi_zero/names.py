"""Names of the pi-zero policy's tensors."""

from __future__ import annotations

__all__ = ["CORNERS", "CORNERS_INPUT", "STATE_INPUT"]

CORNERS = 8  # tokens of the prefix
CORNERS_INPUT = "corners"  # (N, 8, features): where a corner is, and where it should be
STATE_INPUT = "state"  # (N, features): the pusher
