"""The names of the network's tensors, each written once."""

from __future__ import annotations

__all__ = ["ACTION_LOGITS", "IMAGE", "MISSION", "PREVIOUS_ACTION"]

IMAGE = "image"
MISSION = "mission"
PREVIOUS_ACTION = "previous_action"
ACTION_LOGITS = "action_logits"
