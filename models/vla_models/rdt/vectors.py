"""A robot's values as unified vectors in the network's units, with numpy, for training and robot alike.

Published: SI units, grippers from 0 to 1. With `normalize`: deviations from the data's mean.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vla_datasets.unified.robots import find_robot
from vla_models.rdt.config import RdtConfig
from vla_models.rdt.names import WAVES

__all__ = ["action_values", "action_vectors", "frequency_row", "mask_row", "periods", "state_spread", "state_vectors"]

Floats = npt.NDArray[np.float32]

_LONGEST = 10_000.0


def state_vectors(config: RdtConfig, values: npt.ArrayLike) -> Floats:
    """States (..., joints) as (..., 128)."""
    robot = find_robot(config.robot)
    vectors, mask = robot.state(values)
    if config.normalize:
        vectors = (vectors - robot.state(config.state_mean)[0]) / _divisors(robot.state(config.state_std)[0], mask)
    return vectors.astype(np.float32)


def action_vectors(config: RdtConfig, values: npt.ArrayLike) -> Floats:
    """Actions (..., joints) as (..., 128)."""
    robot = find_robot(config.robot)
    vectors, mask = robot.action(values)
    if config.normalize:
        vectors = (vectors - robot.action(config.action_mean)[0]) / _divisors(robot.action(config.action_std)[0], mask)
    return vectors.astype(np.float32)


def action_values(config: RdtConfig, vectors: npt.ArrayLike) -> Floats:
    """Actions (..., joints) of (..., 128)."""
    robot, found = find_robot(config.robot), np.asarray(vectors)
    if config.normalize:
        found = found * robot.action(config.action_std)[0] + robot.action(config.action_mean)[0]
    return robot.own_action(found).astype(np.float32)


def state_spread(config: RdtConfig) -> Floats:
    """Deviation of the data's states, (1, 128), in the network's units."""
    spread = find_robot(config.robot).state([config.state_std])[0].astype(np.float32)
    return mask_row(config) if config.normalize else spread


def mask_row(config: RdtConfig) -> Floats:
    """1 for the places that the robot has, (1, 128)."""
    return find_robot(config.robot).state(config.state_mean)[1][None]


def periods() -> npt.NDArray[np.float64]:
    """Of the waves of a time or a frequency, over 2 pi: (128,), from 1 to nearly 10,000."""
    return np.asarray(_LONGEST ** (np.arange(WAVES // 2) / (WAVES // 2)))


def frequency_row(hertz: float) -> Floats:
    """A frequency as waves, (1, 256), first the cosines; 0 stands for none that is known."""
    angles = hertz / periods()
    return np.concatenate([np.cos(angles), np.sin(angles)])[None].astype(np.float32)


def _divisors(std: npt.NDArray[np.floating], mask: Floats) -> npt.NDArray[np.floating]:
    return np.where(mask > 0, std, 1)
