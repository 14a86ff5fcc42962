"""How positions begin: sines and cosines of which group a token is in, and of where in it; then they are learned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["grid_places", "group_places"]

Floats = npt.NDArray[np.float32]

_BASE = 10_000.0


def _waves(places: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """Of places (T,): (T, width), first the sines."""
    angles = np.outer(places, _BASE ** -(np.arange(width // 2) / (width // 2)))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def grid_places(width: int, sides: Sequence[int]) -> Floats:
    """Of tokens on a grid, row by row: (tokens, width); each axis with more than one place has an even share of it."""
    axes = [axis for axis, side in enumerate(sides) if side > 1]
    found = np.zeros((*sides, width), np.float32)
    share = width // max(1, len(axes)) // 2 * 2
    for number, axis in enumerate(axes):
        rows = _waves(np.arange(sides[axis], dtype=np.float64), share)
        shape = [1] * len(sides) + [share]
        shape[axis] = sides[axis]
        found[..., number * share : (number + 1) * share] = rows.reshape(shape)
    return found.reshape(-1, width)


def group_places(width: int, counts: Sequence[int]) -> Floats:
    """Of tokens in groups, (tokens, width): the group in the first half of the width, the place in it in the second."""
    half = width // 2
    groups = _waves(np.arange(len(counts), dtype=np.float64), half)
    rows = []
    for group, count in zip(groups, counts, strict=True):
        inside = grid_places(width - half, [count])
        rows.append(np.concatenate([np.tile(group, (count, 1)), inside], axis=1))
    return np.concatenate(rows).astype(np.float32)
