"""What the policy takes from its data and its language model before it is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vla_datasets.worlds.rover.names import TELEMETRY
from vla_models.errors import PolicyError
from vla_models.sim_v0.config import SimV0Config

__all__ = ["fitted"]

_LEAST_STD = 1e-3  # of a channel that hardly moves in the data: divided by less, it would be noise


def fitted(config: SimV0Config, statistics: Mapping[str, Any]) -> SimV0Config:
    """With mean and deviation of the data's telemetry, and width and id of the folder's language model.

    Raises:
        PolicyError: there is no such folder, or `backbone_id` names another model.
        KeyError: the data has no telemetry.
    """
    found: dict[str, Any] = {}
    if config.backbone:
        from vla_models.sim_v0.backbone import backbone_id, backbone_width  # torch: a robot reads no language model

        folder = Path(config.backbone)
        name = backbone_id(folder)
        if config.backbone_id not in ("", name):
            raise PolicyError(f"sim_v0: 'backbone_id' is '{config.backbone_id}', and {folder} is '{name}'.")
        found = {"backbone_id": name, "width": backbone_width(folder)}
    mean, std = (np.asarray(statistics[TELEMETRY][name], np.float64).flatten() for name in ("mean", "std"))
    found["telemetry_mean"] = tuple(float(v) for v in mean)
    found["telemetry_std"] = tuple(max(float(v), _LEAST_STD) for v in std)
    return dataclasses.replace(config, **found)
