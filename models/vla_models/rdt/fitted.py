"""What a policy takes from its data before it is trained, and which data it is not for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from vla_datasets.errors import DatasetError
from vla_datasets.keys import ACTION, STATE
from vla_datasets.unified.named import check_values
from vla_datasets.unified.robots import find_robot
from vla_models.errors import PolicyError
from vla_models.rdt.config import RdtConfig
from vla_models.rdt.sentences import open_embeddings

__all__ = ["check_set", "fitted"]

_LEAST_STD = 1e-2  # of a value that hardly moves in the data: divided by less, it would be noise


def fitted(config: RdtConfig, statistics: Mapping[str, Any]) -> RdtConfig:
    """With mean and deviation of the data's states and actions, and the encoder of its sentences.

    Raises:
        LanguageError: there is no folder of sentences, or `encoder` names another one than made them.
        KeyError: the data has no states, or no actions.
    """
    found: dict[str, Any] = {"encoder": open_embeddings(config).encoder}
    for name, key in (("state", STATE), ("action", ACTION)):
        found[f"{name}_mean"] = tuple(float(v) for v in statistics[key]["mean"])
        found[f"{name}_std"] = tuple(max(float(v), _LEAST_STD) for v in statistics[key]["std"])
    return dataclasses.replace(config, **found)


def check_set(config: RdtConfig, info: Mapping[str, Any]) -> None:
    """Refuse a set of another robot or frequency than the config's; `info` is its info.json.

    Raises:
        PolicyError: says what is otherwise.
    """
    try:
        check_values(info["features"], find_robot(config.robot))
    except DatasetError as error:
        raise PolicyError(f"rdt: 'robot' is '{config.robot}': {error}") from error
    if info.get("fps") not in (None, config.frequency):
        raise PolicyError(
            f"rdt: 'frequency' is {config.frequency:g}, and the set has {info['fps']} frames a second; give that."
        )
