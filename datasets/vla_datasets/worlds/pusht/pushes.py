"""The straight pushes that bring the block nearer to its goal, found by rolling every push out.

One push at each point of the outline: straight in, along the normal, as long as it helps. Its score is the distance
that is left (px, mean of the keypoints) and a share of the way to its start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vla_datasets.worlds.pusht.block import RADIUS, centre, contacts, corners, distance, place, pushed
from vla_datasets.worlds.pusht.schema import SIDE

__all__ = ["STAND", "Push", "pushes", "pushes_off_a_wall"]

Array = npt.NDArray[np.float64]

STAND = 12.0  # px between pusher and block where a push starts
_WALL = 24.0  # px that the pusher's centre keeps from the plane's edge
_BLOCK_WALL = 60.0  # px that the block's centre of gravity keeps, or does not come nearer
_TRAVEL = 0.02  # px of distance that a px of way is worth
_FINE = 12.0  # px of distance below which pushes are short and ways do not matter
_CONTACTS = contacts()


@dataclass(frozen=True)
class Push:
    """From `start` to `end`, places (2,) of the pusher's centre, along the unit vector `along`."""

    start: Array
    end: Array
    along: Array


@dataclass(frozen=True)
class _Rolled:
    """N pushes rolled out: what each of K steps leaves."""

    starts: Array  # (N, 2) of the pusher, at the block
    along: Array  # (N, 2)
    left: Array  # (K, N) distance to the goal; inf where the pusher or the block would meet a wall


def pushes(pose: Array, pusher: Array, goal: Array) -> list[Push]:
    """What helps a block at `pose` (3,) to the goal's keypoints (8, 2), with the pusher at (2,); the best first."""
    here = float(distance(pose, goal))
    fine = here < _FINE
    step = 0.5 if fine else 1.0
    rolled = _roll(pose, goal, 60 if fine else 150, step)
    stands = rolled.starts - rolled.along * STAND
    way = _TRAVEL * (0.2 if fine else 1.0) * np.hypot(*(stands - pusher).T)
    length, left = rolled.left.argmin(axis=0) + 1, rolled.left.min(axis=0)
    ends = rolled.starts + rolled.along * step * length[:, np.newaxis]
    better = np.flatnonzero(left < here - 0.05)
    order = better[np.argsort((left + way)[better], kind="stable")]
    return [Push(stands[n], ends[n], rolled.along[n]) for n in order]


def pushes_off_a_wall(pose: Array, pusher: Array) -> list[Push]:
    """What brings the block, as it lies, nearer to the middle of the plane; the best first."""
    middle = pose.copy()
    middle[:2] += SIDE / 2 - centre(pose)
    return pushes(pose, pusher, corners(middle))


def _free(points: Array) -> npt.NDArray[np.bool_]:
    return np.asarray(((points >= _WALL) & (points <= SIDE - 1 - _WALL)).all(axis=-1))


def _roll(at: Array, goal: Array, steps: int, step: float) -> _Rolled:
    """The push at each contact, of a block at a pose (3,)."""
    pose = np.tile(at, (len(_CONTACTS), 1))
    normal = place(pose, _CONTACTS[:, 2:]) - pose[:, :2]
    start = place(pose, _CONTACTS[:, :2]) + normal * RADIUS
    open_, first = _free(start + normal * STAND), centre(pose)
    left = np.full((steps, len(pose)), np.inf)
    for k in range(steps):
        circle = start - normal * step * (k + 1)
        pose = pushed(circle, pose)
        now = centre(pose)
        out = ((now < _BLOCK_WALL) & (now < first - 0.1)) | ((now > SIDE - _BLOCK_WALL) & (now > first + 0.1))
        open_ = open_ & _free(circle) & ~out.any(axis=-1)
        if not open_.any():
            break
        left[k] = np.where(open_, distance(pose, goal), np.inf)
    return _Rolled(start, -normal, left)
