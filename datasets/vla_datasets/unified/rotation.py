"""Rotations as six numbers without jumps: the first two columns of the matrix, one after the other.

Zhou et al., "On the Continuity of Rotation Representations in Neural Networks", CVPR 2019 (arXiv 1812.07035), whose
authors' code makes the third column before it makes the second one at right angles; RDT does the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError

__all__ = ["from_6d", "to_6d"]

Array = npt.NDArray[Any]

_SMALL = 1e-6  # a length, or the sine of an angle, of which no direction is taken


def to_6d(rotation: npt.ArrayLike) -> Array:
    """Six numbers (..., 6) of rotation matrices (..., 3, 3).

    Raises:
        DatasetError: not of this shape.
    """
    matrix = np.asarray(rotation)
    if matrix.shape[-2:] != (3, 3):
        raise DatasetError(f"rotations are of shape {list(matrix.shape)}; a matrix is [3, 3].")
    return np.concatenate([matrix[..., 0], matrix[..., 1]], axis=-1)


def from_6d(numbers: npt.ArrayLike) -> Array:
    """The rotation matrices (..., 3, 3) that are nearest to six numbers (..., 6) in this order: the first three say
    the direction of x, the others on which side of it y is.

    Raises:
        DatasetError: not of this shape, or the two directions are none or the same: there is no such rotation.
    """
    found = np.asarray(numbers)
    if found.ndim == 0 or found.shape[-1] != 6:
        raise DatasetError(f"rotations are of shape {list(found.shape)}; their last axis must be 6.")
    x = _direction(found[..., :3])
    z = _direction(np.cross(x, _direction(found[..., 3:])))
    return np.stack([x, np.cross(z, x), z], axis=-1)


def _direction(vector: Array) -> Array:
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    if not (length > _SMALL).all():  # no number is not above either
        raise DatasetError("six numbers are no rotation: a direction in them has no length, or both are the same.")
    unit: Array = vector / length
    return unit
