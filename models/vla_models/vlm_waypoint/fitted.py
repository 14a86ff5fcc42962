"""What the policy takes from its data and its tower before it is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vla_datasets.keys import STATE
from vla_models.errors import PolicyError
from vla_models.vlm_waypoint.config import VlmWaypointConfig

__all__ = ["fitted"]

_LEAST_STD = 1e-2  # of a value that hardly moves in the data: divided by less, it would be noise


def fitted(config: VlmWaypointConfig, statistics: Mapping[str, Any]) -> VlmWaypointConfig:
    """With mean and deviation of the data's past states, and sizes, normalization and id of the tower's folder.

    Raises:
        PolicyError: there is no such folder, or `tower_id` names another tower.
        KeyError: the data has no states.
    """
    found: dict[str, Any] = {}
    if config.tower:
        from vla_models.siglip.folder import read_tower  # torch: a robot does not read towers

        tower = read_tower(Path(config.tower))
        if config.tower_id not in ("", tower.id):
            raise PolicyError(f"vlm_waypoint: 'tower_id' is '{config.tower_id}', and {config.tower} is '{tower.id}'.")
        found = {**tower.options, "tower_id": tower.id}
    mean, std = (np.asarray(statistics[STATE][name], np.float64).flatten() for name in ("mean", "std"))
    found["state_mean"] = tuple(float(v) for v in mean)
    found["state_std"] = tuple(max(float(v), _LEAST_STD) for v in std)
    return dataclasses.replace(config, **found)
