"""What an observation holds, checked: it comes from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_models.errors import ObservationError

__all__ = ["are_finite", "array_of", "check_floats", "check_picture", "read_floats", "read_number", "read_picture"]

_LARGEST = float(np.finfo(np.float32).max)


def read_floats(observation: Mapping[str, Any], key: str, count: int) -> npt.NDArray[np.float32]:
    """One vector of an observation.

    Raises:
        ObservationError: it is missing, of another size, or not of finite numbers.
    """
    return check_floats(f"'{key}'", _found(observation, key), count)


def read_number(observation: Mapping[str, Any], key: str, count: int) -> int:
    """One of the numbers 0 to `count` - 1.

    Raises:
        ObservationError: it is missing, or none of them; several numbers, as a one-hot vector has, are no number.
    """
    value = array_of(f"'{key}'", _found(observation, key))
    if value.size != 1 or value.dtype.kind not in "fiu" or value.item() not in range(count):
        shown = value.item() if value.size == 1 else f"{value.dtype} {value.shape}"
        raise ObservationError(f"'{key}' is {shown!r:.60}; it must be one whole number from 0 to {count - 1}.")
    return int(value.item())


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
    value = array_of(name, given)
    if value.size != count or value.dtype.kind not in "fiu" or not are_finite(value):
        wanted = f"{count} finite numbers" if count > 1 else "one finite number"
        shown = value.item() if value.size == 1 else f"{value.dtype} {value.shape}"
        raise ObservationError(f"{name} is {shown!s:.60}; it must be {wanted} of float32.")
    return value.reshape(count).astype(np.float32)


def check_picture(name: str, given: npt.ArrayLike, height: int, width: int) -> npt.NDArray[np.uint8]:
    """A picture of bytes (height, width, 3); `name` is what an error calls it.

    Raises:
        ObservationError: it is of another size, or not of bytes.
    """
    value = array_of(name, given)
    if value.shape != (height, width, 3) or value.dtype != np.uint8:
        raise ObservationError(f"{name} is {value.dtype} {value.shape}; it must be uint8 ({height}, {width}, 3), RGB.")
    return value


def are_finite(value: npt.NDArray[Any]) -> bool:
    """Whether all of them are finite numbers, as float32 too."""
    return bool((np.abs(value) <= _LARGEST).all())


def array_of(name: str, given: npt.ArrayLike) -> npt.NDArray[Any]:
    """What is given as an array, of whatever numbers; `name` is what an error calls it.

    Raises:
        ObservationError: it is none, as lists of unequal lengths.
    """
    try:
        return np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ObservationError(f"{name} is no array: {error}.") from error


def _found(observation: Mapping[str, Any], key: str) -> Any:
    if key not in observation:
        raise ObservationError(f"The observation has no '{key}'; it has {', '.join(observation)}.")
    return observation[key]
