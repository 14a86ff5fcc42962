"""Sets that name their values themselves, as places of the unified vector: their grippers are from 0 to 1.

Not here: the names (`slots.py`), and which of them a robot has, in which order (`robots.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vla_datasets.errors import DatasetError
from vla_datasets.keys import ACTION, STATE
from vla_datasets.unified.robots import Robot
from vla_datasets.unified.slots import SLOTS

__all__ = ["check_order", "check_values", "named_values"]

Features = Mapping[str, Mapping[str, Any]]  # of a set's info.json


def named_values(features: Features, key: str) -> Sequence[str] | None:
    """Names of a vector's values; None where they have none, or others than the unified vector's."""
    names = features.get(key, {}).get("names")
    return (
        names if isinstance(names, list) and names and all(isinstance(n, str) and n in SLOTS for n in names) else None
    )


def check_order(features: Features, robot: Robot) -> None:
    """Refuse a set whose state or actions are in another order than the robot has them.

    Raises:
        DatasetError: says which value is another one.
    """
    for key in (STATE, ACTION):
        names = named_values(features, key)
        if names is not None and tuple(names) != tuple(robot.names):
            at = next((n for n, pair in enumerate(zip(names, robot.names, strict=False)) if pair[0] != pair[1]), None)
            found = f"{len(names)} values" if at is None else f"'{names[at]}' at place {at}"
            wanted = f"{len(robot.names)}" if at is None else f"'{robot.names[at]}' there"
            raise DatasetError(f"'{key}' of the set names {found}; robot '{robot.name}' has {wanted}.")


def check_values(features: Features, robot: Robot) -> None:
    """Refuse a set whose values are not as the robot has and counts them, so that they would be scaled twice.

    Raises:
        DatasetError: says what is otherwise.
    """
    check_order(features, robot)
    scaled = {STATE: robot.state_scales, ACTION: robot.action_scales}
    for key, scales in scaled.items():
        if scales and named_values(features, key) is not None:
            raise DatasetError(
                f"'{key}' of the set names its values itself, so its grippers are from 0 to 1; robot '{robot.name}' "
                "counts them otherwise."
            )
