"""The way of both hands: the right one takes the cube and carries it to the middle, where the left one takes it.

Times are steps of `DT`. Not here: the arms that follow (`expert.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
import numpy.typing as npt

__all__ = ["Waypoint", "actions", "ways"]

Array = npt.NDArray[np.float64]

OPEN, CLOSED = 1.0, 0.0
_LAST = 340
_MEETING = np.array([0.0, 0.5, 0.25])
_ABOVE = np.array([0.0, 0.0, 0.08])
_MIDDLE = 0.02  # height of the cube's middle on the table
_ASIDE = np.array([-0.14, 0.0, 0.0])  # of the left hand, until the cube is there
_LOWER = np.array([0.0, 0.0, -0.02])  # of the left fingers than the right ones


@dataclass(frozen=True)
class Waypoint:
    """At step `time` fingertips are at `place` (3,), turned by quaternion `turn` (4,), and open (1) or closed (0)."""

    time: int
    place: Array
    turn: Array
    gripper: float


def ways(cube: Array) -> tuple[Sequence[Waypoint], Sequence[Waypoint]]:
    """Of the left and the right hand, from the start to a cube at a place (3,) and on.

    The right hand comes almost from above: flatter, its servos press the cube against the table.
    """
    right, left = _turned((0, 1, 0), -80), _turned((1, 0, 0), 90)
    take = np.array([*cube[:2], _MIDDLE])
    lefts = [
        Waypoint(230, _MEETING + _LOWER + _ASIDE, left, OPEN),
        Waypoint(260, _MEETING + _LOWER + _ASIDE, left, OPEN),
        Waypoint(310, _MEETING + _LOWER, left, OPEN),
        Waypoint(_LAST, _MEETING + _LOWER, left, CLOSED),
    ]
    rights = [
        Waypoint(90, take + _ABOVE, right, OPEN),
        Waypoint(130, take, right, OPEN),
        Waypoint(140, take, right, OPEN),
        Waypoint(165, take, right, CLOSED),
        Waypoint(195, take + _ABOVE, right, CLOSED),
        Waypoint(260, _MEETING, right, CLOSED),
        Waypoint(_LAST, _MEETING, right, CLOSED),
    ]
    return lefts, rights


def actions(start: Waypoint, way: Sequence[Waypoint]) -> Array:
    """Place, quaternion and gripper (N, 8) of every step after `start` along the waypoints that are later."""
    found, before = [], start
    for after in (point for point in way if point.time > start.time):
        share = (np.arange(before.time, after.time) + 1 - before.time)[:, np.newaxis] / (after.time - before.time)
        smooth = share**2 * (3 - 2 * share)  # from rest to rest
        turn = after.turn if before.turn @ after.turn >= 0 else -after.turn  # the same, the short way around
        turns = before.turn * (1 - smooth) + turn * smooth
        turns /= np.linalg.norm(turns, axis=1, keepdims=True)
        places = before.place * (1 - smooth) + after.place * smooth
        found.append(np.hstack([places, turns, before.gripper * (1 - share) + after.gripper * share]))
        before = after
    return np.concatenate(found)


def _turned(axis: Sequence[float], degrees: float) -> Array:
    turn = np.zeros(4)
    mujoco.mju_axisAngle2Quat(turn, np.array(axis, np.float64), np.radians(degrees))
    return turn
