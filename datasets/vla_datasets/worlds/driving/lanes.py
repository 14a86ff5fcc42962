"""A town's lanes as polylines in metres, and the graph of where one can drive from each: read by `carla.Map`.

CARLA's client parses OpenDRIVE without a server (`carla.Map(name, text)`); what it knows of the lanes is copied here
once, since asking it costs 0.1 ms a time. Axes are CARLA's: x east, y south, yaw in radians clockwise seen from above.
Not here: routes (`route.py`), the map itself (`opendrive.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import WorldError

__all__ = ["STEP", "Lane", "LaneMap", "read_map", "wrapped"]

STEP = 1.0  # metres between the points of a lane
_TURN = math.radians(20)  # a lane through a junction that turns by more is a turn
Floats = npt.NDArray[np.float64]
_Key = tuple[int, int, int]  # CARLA's road, section and lane


def wrapped(angle: Any) -> Any:
    """An angle in -pi..pi."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


@dataclass
class Lane:
    """One lane from its begin to its end, in the direction of driving."""

    number: int
    points: Floats  # (N, 2), `STEP` apart but for the last one
    yaws: Floats  # (N,), not wrapped: without jumps
    width: float
    junction: int  # the junction it crosses, -1 where it crosses none
    successors: list[int] = field(default_factory=list)
    left: int = -1  # the lane beside it in the same direction that one may change to; -1: none
    right: int = -1

    @cached_property
    def starts(self) -> Floats:
        """Metres from the lane's begin to each point."""
        return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(self.points, axis=0).T))])

    @property
    def length(self) -> float:
        """In metres."""
        return float(self.starts[-1])

    @property
    def turn(self) -> str:
        """Of a lane through a junction: "left", "right" or "straight"; else ""."""
        if self.junction < 0:
            return ""
        change = float(self.yaws[-1] - self.yaws[0])
        return "straight" if abs(change) < _TURN else "right" if change > 0 else "left"

    def at(self, distance: float) -> tuple[float, float, float]:
        """x, y and yaw at so many metres from the begin; at its ends beyond them."""
        d = min(max(distance, 0.0), self.length)
        x, y, yaw = (float(np.interp(d, self.starts, v)) for v in (self.points[:, 0], self.points[:, 1], self.yaws))
        return x, y, yaw


class LaneMap:
    """All lanes of a town, and the nearest of them to a place."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.lanes = list(lanes)
        self._points = np.concatenate([lane.points for lane in lanes])
        self._yaws = np.concatenate([lane.yaws for lane in lanes])
        self._owners = np.concatenate([np.full(len(lane.points), lane.number) for lane in lanes])
        self._distances = np.concatenate([lane.starts for lane in lanes])

    def nearest(self, x: float, y: float, yaw: float | None = None) -> tuple[Lane, float, float]:
        """The nearest lane, metres along it, and metres beside its middle (right is positive).

        Args:
            yaw: only lanes within 90 degrees of it, where it is given.
        """
        away = np.hypot(self._points[:, 0] - x, self._points[:, 1] - y)
        if yaw is not None:
            away = np.where(np.abs(wrapped(self._yaws - yaw)) < math.pi / 2, away, np.inf)
        found = int(np.argmin(away))
        (px, py), heading = self._points[found], float(self._yaws[found])
        along = (x - px) * math.cos(heading) + (y - py) * math.sin(heading)
        beside = -(x - px) * math.sin(heading) + (y - py) * math.cos(heading)
        return self.lanes[int(self._owners[found])], float(self._distances[found] + along), float(beside)


def read_map(text: str) -> LaneMap:
    """The driving lanes of an OpenDRIVE map.

    Raises:
        WorldError: it is no OpenDRIVE text, or has no lane to drive on.
    """
    import carla

    try:
        town = carla.Map("town", text)
        topology = town.get_topology()
    except (RuntimeError, ValueError) as error:
        raise WorldError(f"the map is no OpenDRIVE text that CARLA reads: {error}") from error
    starts: dict[_Key, Any] = {}
    for begin, end in topology:
        for waypoint in (begin, end):
            starts.setdefault(_key(waypoint), waypoint)  # both lie at the begin of their lanes
    if not starts:
        raise WorldError("the map has no lane that leads anywhere")
    numbers = {key: number for number, key in enumerate(starts)}
    lanes = [_lane(number, starts[key]) for key, number in numbers.items()]
    for begin, end in topology:
        one, other = numbers[_key(begin)], numbers[_key(end)]
        if one != other and other not in lanes[one].successors:
            lanes[one].successors.append(other)
    for key, number in numbers.items():
        if lanes[number].junction < 0:
            lanes[number].left, lanes[number].right = _beside(starts[key], key, numbers)
    return LaneMap(lanes)


def _key(waypoint: Any) -> _Key:
    return waypoint.road_id, waypoint.section_id, waypoint.lane_id


def _lane(number: int, first: Any) -> Lane:
    places = [w for w in (first, *first.next_until_lane_end(STEP)) if _key(w) == _key(first)]
    points = np.array([(w.transform.location.x, w.transform.location.y) for w in places])
    keep = np.concatenate([[True], np.hypot(*np.diff(points, axis=0).T) > 1e-3])
    yaws = np.unwrap(np.radians([w.transform.rotation.yaw for w in places]))
    return Lane(
        number, points[keep], yaws[keep], float(first.lane_width), first.junction_id if first.is_junction else -1
    )


def _beside(first: Any, key: _Key, numbers: dict[_Key, int]) -> tuple[int, int]:
    """The lanes to the left and right that may be changed to; in the same direction their ids have the same sign."""
    import carla

    middle = first.next(1.0)[0]
    allowed = int(middle.lane_change)
    found = []
    for neighbour, side in (
        (middle.get_left_lane(), carla.LaneChange.Left),
        (middle.get_right_lane(), carla.LaneChange.Right),
    ):
        may = neighbour is not None and allowed & int(side) and neighbour.lane_id * key[2] > 0
        found.append(numbers.get(_key(neighbour), -1) if may else -1)
    return found[0], found[1]
