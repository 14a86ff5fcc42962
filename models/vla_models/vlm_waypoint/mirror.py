"""Frames as in a mirror: what is on the left is on the right. Few segments become twice as many that differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.waymo.names import STATES, Intent

__all__ = ["mirrored"]

Arrays = npt.NDArray[Any]
_ACROSS = np.array([-1.0 if name.endswith("y") else 1.0 for name in STATES], np.float32)  # y points to the left
_OTHER = np.array([Intent.UNKNOWN, Intent.GO_STRAIGHT, Intent.GO_RIGHT, Intent.GO_LEFT])  # by intent


def mirrored(
    turned: npt.NDArray[np.bool_], pixels: Arrays, past: Arrays, intent: Arrays, driven: Arrays
) -> tuple[Arrays, Arrays, Arrays, Arrays]:
    """Pictures (N, S, S, 3), past states (N, 16, 6), intents (N, 1) and waypoints (N, 20, 2), some of them mirrored.

    Args:
        turned: bool (N,), which.
    """

    def chosen(as_is: Arrays, other: Arrays) -> Arrays:
        return np.where(turned.reshape(-1, *[1] * (as_is.ndim - 1)), other, as_is)

    return (
        chosen(pixels, pixels[:, :, ::-1]),
        chosen(past, past * _ACROSS),
        chosen(intent, _OTHER[intent]),
        chosen(driven, driven * _ACROSS[:2]),
    )
