"""A small driving policy to prune."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from vla_models.babyai_moe.layers import ExpertConv
from vla_models.registry import find_policy
from vla_models.saved import save_policy
from vla_training.objectives.group_lasso import block_norms, conv_weight, group_lasso
from vla_training.prune import Pruned, prune_blocks

__all__ = [
    "SIZES",
    "ExpertConv",
    "Pruned",
    "block_norms",
    "conv_weight",
    "group_lasso",
    "nn",
    "prune_blocks",
    "save_policy",
    "saved",
    "torch",
]

SIZES = {"channels": (32, 64, 64), "strides": (2, 1, 1), "image_size": 16, "measure_features": 8, "hidden": (16,)}


def saved(folder: Path) -> Path:
    torch.manual_seed(0)
    spec = find_policy("driving_vgg")
    policy = spec.make(spec.configured(SIZES))
    folder.mkdir()
    save_policy(folder, spec.name, policy.config, policy.state_dict())
    return folder
