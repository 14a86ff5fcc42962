"""The pusher's way around the block: the shortest over a few places beside it, seen from each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vla_datasets.worlds.pusht.block import RADIUS, nearest, place
from vla_datasets.worlds.pusht.schema import SIDE

__all__ = ["way_around"]

Array = npt.NDArray[np.float64]

_PLACES = np.array(
    [[-85, 55], [-85, -25], [85, -25], [85, 55], [40, 55], [-40, 55], [-40, 145], [40, 145], [0, -25], [0, 145]],
    np.float64,
)
_EDGE = 22.0  # px that the places keep from the plane's edge
_CORNER = 12.0  # px that a corner is worth
_LOOKS = 4.0  # px between the points of a line that are held against the block


def way_around(start: Array, end: Array, pose: Array, room: float) -> Array | None:
    """Corners (K, 2) of a way from `start` to `end` (2,) that stays `room` px off the block at `pose` (3,).

    Returns:
        None: there is none over the places that are looked at.
    """
    between = np.clip(place(pose, _PLACES), _EDGE, SIDE - 1 - _EDGE)
    points = np.concatenate([start[np.newaxis], between, end[np.newaxis]])
    length = np.hypot(*np.moveaxis(points[:, np.newaxis] - points, -1, 0)) + _CORNER
    length[~_seen(points, pose, room)] = np.inf
    follows = np.tile(np.arange(len(points)), (len(points), 1))
    for middle in range(len(points)):  # Floyd and Warshall
        over = length[:, middle, np.newaxis] + length[middle]
        follows = np.where(over < length, follows[:, middle, np.newaxis], follows)
        length = np.minimum(length, over)
    last = len(points) - 1
    if not np.isfinite(length[0, last]):
        return None
    way = [0]
    while way[-1] != last:
        way.append(int(follows[way[-1], last]))
    return points[way]


def _seen(points: Array, pose: Array, room: float) -> npt.NDArray[np.bool_]:
    """Of N points (N, 2) whether the line between two of them (N, N) is clear of the block."""
    number = int(SIDE * np.sqrt(2) / _LOOKS)
    share = np.linspace(0, 1, number)[:, np.newaxis, np.newaxis, np.newaxis]
    line = points[:, np.newaxis] * (1 - share) + points * share  # (number, N, N, 2)
    c, s = np.cos(pose[2]), np.sin(pose[2])
    x, y = np.moveaxis(line - pose[:2], -1, 0)
    body = np.stack([c * x + s * y, c * y - s * x], axis=-1)
    clear = nearest(body.reshape(-1, 2))[0] >= RADIUS + room
    return np.asarray(clear.reshape(line.shape[:3]).all(axis=0))
