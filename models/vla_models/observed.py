"""What an observation holds, checked: it comes from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_models.errors import ObservationError

__all__ = ["read_floats", "read_picture"]


def read_floats(observation: Mapping[str, Any], key: str, count: int) -> npt.NDArray[np.float32]:
    """One vector of an observation.

    Raises:
        ObservationError: it is missing, of another size, or not of finite numbers.
    """
    value = _found(observation, key)
    if value.size != count or value.dtype.kind not in "fiu" or not np.isfinite(value).all():
        raise ObservationError(f"'{key}' is {value.dtype} {value.shape}; it must be {count} finite numbers.")
    return value.reshape(count).astype(np.float32)


def read_picture(observation: Mapping[str, Any], key: str, height: int, width: int) -> npt.NDArray[np.uint8]:
    """One picture of an observation, RGB.

    Raises:
        ObservationError: it is missing, of another size, or not of bytes.
    """
    value = _found(observation, key)
    if value.shape != (height, width, 3) or value.dtype != np.uint8:
        raise ObservationError(f"'{key}' is {value.dtype} {value.shape}; it must be uint8 ({height}, {width}, 3), RGB.")
    return value


def _found(observation: Mapping[str, Any], key: str) -> npt.NDArray[Any]:
    if key not in observation:
        raise ObservationError(f"The observation has no '{key}'; it has {', '.join(observation)}.")
    return np.asarray(observation[key])
