"""Driving policies and observations for tests."""

from __future__ import annotations

import torch

from vla_models.driving.names import BRANCHES
from vla_models.driving_tiles.config import DrivingTilesConfig
from vla_models.driving_tiles.gates import live_share
from vla_models.driving_tiles.model import TASK_MASKS, DrivingTiles
from vla_models.driving_vgg.model import DrivingVgg

__all__ = ["SMALL", "TASK_MASKS", "DrivingTiles", "DrivingVgg", "gated", "live_share", "torch"]

SMALL = {"channels": (32, 48, 64), "strides": (2, 2, 2), "image_size": 32, "fused": 16, "branch": (16,), "gated": True}


def gated(seed: int = 0) -> DrivingTiles:
    """A policy whose commands have masks of their own."""
    torch.manual_seed(seed)
    policy = DrivingTiles(DrivingTilesConfig(**SMALL))
    with torch.no_grad():  # the command's number switches the gate of that number off
        policy.gates.hidden.weight.copy_(torch.eye(64)[:, : len(BRANCHES)])
        policy.gates.hidden.bias.zero_()
        policy.gates.logits.weight.copy_(torch.cat([-torch.eye(6), torch.zeros(6, 58)], dim=1))
        policy.gates.logits.bias.fill_(0.5)
    return policy.eval()
