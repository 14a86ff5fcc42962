"""Values of a robot into the unified vector and back.

Not here: which names a robot's values have, and how its grippers are counted (`robots.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError
from vla_datasets.unified.slots import SIZE, SLOTS
from vla_isa.errors import did_you_mean

__all__ = ["from_unified", "places", "to_unified"]

Array = npt.NDArray[Any]


def places(names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Where in the vector the named values are, (N,).

    Raises:
        DatasetError: there is no such name, or two of them are the same place.
    """
    taken: dict[int, str] = {}
    for name in names:
        if name not in SLOTS:
            nearest = did_you_mean(name, SLOTS, "The names are in vla_datasets.unified.slots.")
            raise DatasetError(f"the unified vector has no place '{name}'.{nearest}")
        if SLOTS[name] in taken:
            raise DatasetError(
                f"'{taken[SLOTS[name]]}' and '{name}' are both place {SLOTS[name]} of the unified vector; name it once."
            )
        taken[SLOTS[name]] = name
    return np.array(list(taken), np.int64)


def to_unified(names: Sequence[str], values: npt.ArrayLike) -> tuple[Array, npt.NDArray[np.float32]]:
    """The unified vector of a robot's values.

    Args:
        names: of the N values, of `SLOTS`.
        values: (..., N); whole numbers become float32.

    Returns:
        The vector (..., 128), 0 where the robot has no value, and which places it has: 1 or 0 (128,).

    Raises:
        DatasetError: an unknown name, a place that is named twice, or not one value for each name.
    """
    found, at = np.asarray(values), places(names)
    if found.dtype.kind != "f":
        found = found.astype(np.float32)
    if found.ndim == 0 or found.shape[-1] != len(at):
        raise DatasetError(f"values are of shape {list(found.shape)}; {len(at)} names need {len(at)} on the last axis.")
    vector = np.zeros((*found.shape[:-1], SIZE), found.dtype)
    vector[..., at] = found
    mask = np.zeros(SIZE, np.float32)
    mask[at] = 1
    return vector, mask


def from_unified(names: Sequence[str], vector: npt.ArrayLike) -> Array:
    """A robot's values (..., N) of unified vectors (..., 128).

    Raises:
        DatasetError: an unknown name, a place that is named twice, or no unified vector.
    """
    found = np.asarray(vector)
    if found.ndim == 0 or found.shape[-1] != SIZE:
        raise DatasetError(f"a unified vector is of shape {list(found.shape)}; its last axis must be {SIZE}.")
    values: Array = found[..., places(names)]
    return values
