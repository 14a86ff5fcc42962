"""What an observation holds, checked: it comes from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_models.errors import ObservationError

__all__ = ["check_floats", "check_picture", "read_floats", "read_picture"]


def read_floats(observation: Mapping[str, Any], key: str, count: int) -> npt.NDArray[np.float32]:
    """One vector of an observation.

    Raises:
        ObservationError: it is missing, of another size, or not of finite numbers.
    """
    return check_floats(f"'{key}'", _found(observation, key), count)


def read_picture(observation: Mapping[str, Any], key: str, height: int, width: int) -> npt.NDArray[np.uint8]:
    """One picture of an observation, RGB.

    Raises:
        ObservationError: it is missing, of another size, or not of bytes.
    """
    return check_picture(f"'{key}'", _found(observation, key), height, width)


def check_floats(name: str, given: npt.ArrayLike, count: int) -> npt.NDArray[np.float32]:
    """So many numbers as float32 (count,); `name` is what an error calls them.

    Raises:
        ObservationError: they are of another number, or not finite numbers.
    """
    value = np.asarray(given)
    if value.size != count or value.dtype.kind not in "fiu" or not np.isfinite(value).all():
        raise ObservationError(f"{name} is {value.dtype} {value.shape}; it must be {count} finite numbers.")
    return value.reshape(count).astype(np.float32)


def check_picture(name: str, given: npt.ArrayLike, height: int, width: int) -> npt.NDArray[np.uint8]:
    """A picture of bytes (height, width, 3); `name` is what an error calls it.

    Raises:
        ObservationError: it is of another size, or not of bytes.
    """
    value = np.asarray(given)
    if value.shape != (height, width, 3) or value.dtype != np.uint8:
        raise ObservationError(f"{name} is {value.dtype} {value.shape}; it must be uint8 ({height}, {width}, 3), RGB.")
    return value


def _found(observation: Mapping[str, Any], key: str) -> Any:
    if key not in observation:
        raise ObservationError(f"The observation has no '{key}'; it has {', '.join(observation)}.")
    return observation[key]
