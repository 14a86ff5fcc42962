"""The names of tensors on both sides of the policies, each written once."""

from __future__ import annotations

__all__ = ["ACTION_LOGITS", "IMAGE", "MISSION", "PREVIOUS_ACTION"]

IMAGE = "image"
MISSION = "mission"
PREVIOUS_ACTION = "previous_action"
ACTION_LOGITS = "action_logits"
