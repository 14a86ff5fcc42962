"""Robots in the unified vector: names of their values in order, and what their grippers are divided by.

A gripper is 0 (closed) to 1 (open) in the vector. What opens it and how it is counted is each robot's own, and its
commands may be counted otherwise than its state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError
from vla_datasets.unified.vector import from_unified, to_unified
from vla_isa.registry import find_named

__all__ = ["ROBOTS", "Robot", "find_robot"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Robot:
    """One robot.

    Attributes:
        name: of the robot.
        names: of its values, in the order that its state and its actions have them.
        state_scales: by name, what a value of the state is divided by to be the vector's; 1 where none is named.
        action_scales: the same for actions.
    """

    name: str
    names: Sequence[str]
    state_scales: Mapping[str, float] = field(default_factory=dict)
    action_scales: Mapping[str, float] = field(default_factory=dict)

    @property
    def state_divisors(self) -> npt.NDArray[np.float64]:
        """What each value of a state (N,) is divided by to be the vector's."""
        return np.array([self.state_scales.get(name, 1.0) for name in self.names])

    @property
    def action_divisors(self) -> npt.NDArray[np.float64]:
        """The same of an action."""
        return np.array([self.action_scales.get(name, 1.0) for name in self.names])

    def state(self, values: npt.ArrayLike) -> tuple[Array, npt.NDArray[np.float32]]:
        """Unified vector (..., 128) and mask (128,) of a state (..., N)."""
        return to_unified(self.names, _divided(values, self.state_divisors))

    def action(self, values: npt.ArrayLike) -> tuple[Array, npt.NDArray[np.float32]]:
        """Unified vector (..., 128) and mask (128,) of actions (..., N)."""
        return to_unified(self.names, _divided(values, self.action_divisors))

    def own_action(self, vector: npt.ArrayLike) -> Array:
        """What the robot is told (..., N), of unified vectors (..., 128)."""
        values = from_unified(self.names, vector)
        values *= self.action_divisors.astype(values.dtype)  # a copy of its own, as it was gathered
        return values


def _divided(values: npt.ArrayLike, divisors: npt.NDArray[np.float64]) -> Array:
    """In the type of the values, if that is a float; a wrong number of values is left for `to_unified` to refuse."""
    found = np.asarray(values)
    if found.ndim == 0 or found.shape[-1] != len(divisors):
        return found
    divided: Array = (found / divisors).astype(found.dtype if found.dtype.kind == "f" else np.float32)
    return divided


def _two_arms() -> tuple[str, ...]:
    """Left arm of six joints, its gripper, and the same of the right one: the order of ALOHA's vectors of 14."""
    sides = ("left", "right")
    return tuple(n for s in sides for n in (*(f"{s}_arm_joint_{j}_pos" for j in range(6)), f"{s}_gripper_open"))


ROBOTS: Sequence[Robot] = (
    Robot("aloha", _two_arms()),  # its grippers are from 0 to 1 already
    # RDT's own, Cobot Magic; source: its `data/hdf5_vla_dataset.py`
    Robot(
        "agilex",
        _two_arms(),
        {"left_gripper_open": 4.7908, "right_gripper_open": 4.7888},
        {"left_gripper_open": 11.8997, "right_gripper_open": 13.9231},
    ),
)


def find_robot(name: str) -> Robot:
    """The robot called `name`.

    Raises:
        DatasetError: none is.
    """
    return find_named("robot", name, ROBOTS, DatasetError)
