"""The names of the network's tensors, each written once."""

from __future__ import annotations

__all__ = ["ACTION_LOGITS", "IMAGE", "MISSION", "PREVIOUS_ACTION", "TILES"]

IMAGE = "image"
MISSION = "mission"
PREVIOUS_ACTION = "previous_action"
TILES = "tiles"  # of training alone
ACTION_LOGITS = "action_logits"
