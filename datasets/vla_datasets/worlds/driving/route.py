"""A route through a town: the cheapest way over its lanes, as a path with the command that holds at each place.

Not here: commands that other things on the road give (`hazards.py`).
"""

from __future__ import annotations

import dataclasses
import heapq
import math
import zlib
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import WorldError
from vla_datasets.seeds import FIRST_EVALUATION_SEED, FIRST_VALIDATION_SEED
from vla_datasets.worlds.driving.lanes import Lane, LaneMap

__all__ = ["LEFT", "RIGHT", "SPACING", "SPLITS", "Route", "find_route", "random_route", "route_split", "splits_of"]

SPACING = 1.0  # metres between the points of a path
_CHANGE_FROM, _CHANGE_LENGTH = 12.0, 18.0  # metres: where on a lane a change begins, and how long it takes
_CHANGE_COST = 25.0  # metres that a change of lanes is worth going round
_SHORTEST, _LONGEST, _TRIES = 120.0, 420.0, 2000  # metres of a random route
SPLITS = ("train", "val", "test")  # of routes; test routes are those of evaluation
_EVERY = 10  # one of so many ways through a junction makes a route a test route, another one one of validation
Floats = npt.NDArray[np.float64]
FOLLOW, STRAIGHT, LEFT, RIGHT, CHANGE_LEFT, CHANGE_RIGHT = range(6)
_AHEAD = {STRAIGHT: 10.0, LEFT: 15.0, RIGHT: 15.0, CHANGE_LEFT: 30.0, CHANGE_RIGHT: 30.0}  # metres before it begins
_TURNS = {"": FOLLOW, "straight": STRAIGHT, "left": LEFT, "right": RIGHT}


@dataclass(frozen=True)
class Route:
    """A path, `SPACING` metres from point to point.

    Attributes:
        points: (N, 2) metres.
        yaws: (N,) radians.
        commands: (N,) indexes of `schema.COMMANDS`.
        lanes: (N,) numbers of lanes.
        split: the one of `SPLITS` to which the route belongs.
    """

    points: Floats
    yaws: Floats
    commands: npt.NDArray[np.int64]
    lanes: npt.NDArray[np.int64]
    split: str = SPLITS[0]

    @property
    def length(self) -> float:
        """In metres."""
        return SPACING * (len(self.points) - 1)

    def nearest(self, x: float, y: float, index: int = 0, within: int | None = None) -> int:
        """The nearest point's index, of `within` points from `index` on."""
        part = self.points[index : None if within is None else index + within]
        return index + int(np.argmin(np.hypot(part[:, 0] - x, part[:, 1] - y)))

    def off(self, x: float, y: float, index: int = 0, within: int | None = None) -> float:
        """Metres from a place to the path, between its points too; looked for as by `nearest`."""
        found = self.nearest(x, y, index, within)
        place = np.array([x, y])
        part = self.points[max(found - 1, 0) : found + 2]
        along = np.diff(part, axis=0)
        share = np.clip(np.sum((place - part[:-1]) * along, axis=1) / np.sum(along**2, axis=1), 0.0, 1.0)
        return float(np.hypot(*(part[:-1] + share[:, None] * along - place).T).min())


class _Leg(NamedTuple):
    """A part of a route: a lane, or the change to the lane beside it."""

    lane: int
    change: int  # 0: to the lane's end, -1: to the left one, 1: to the right one


def route_split(lanes: Iterable[int], town: LaneMap) -> str:
    """The split of a route over these lanes: it depends on its ways through junctions alone.

    Some ways are driven by test routes only, others by them and routes of validation: so each test route turns or
    crosses somewhere as no demonstration does, and lies within none.
    """
    ways = {zlib.crc32(str(number).encode()) % _EVERY for number in lanes if town.lanes[number].junction >= 0}
    return "test" if 0 in ways else "val" if 1 in ways else "train"


def splits_of(seed: int | None) -> tuple[str, ...]:
    """The splits whose routes the episode of a seed may have: evaluations have routes that no demonstration has, and
    episodes of validation those of held-out demonstrations."""
    if seed is None or seed < FIRST_EVALUATION_SEED:
        return ("train", "val")
    return ("test",) if seed < FIRST_VALIDATION_SEED else ("val",)


def random_route(town: LaneMap, rng: np.random.Generator, splits: Container[str] = SPLITS) -> Route:
    """A route between two places of a generator's choice, of one of these splits.

    Raises:
        WorldError: the town has no such way of the wanted length.
    """
    roads = [lane.number for lane in town.lanes if lane.junction < 0 and lane.length > _CHANGE_FROM + _CHANGE_LENGTH]
    for _ in range(_TRIES):
        if len(roads) < 2:
            break
        start, goal = (int(n) for n in rng.choice(roads, 2, replace=False))
        legs = _cheapest(town, start, goal)
        if legs is None or not _SHORTEST <= sum(town.lanes[leg.lane].length for leg in legs) <= _LONGEST:
            continue
        if (split := route_split((leg.lane for leg in legs), town)) in splits:
            return dataclasses.replace(_path(town, legs), split=split)
    raise WorldError(f"the map has no route of {_SHORTEST:g} to {_LONGEST:g} m; give a larger one")


def find_route(town: LaneMap, start: int, goal: int) -> Route:
    """The cheapest route from the begin of a lane to the end of another one.

    Raises:
        WorldError: there is none.
    """
    legs = _cheapest(town, start, goal)
    if legs is None:
        raise WorldError(f"no way leads from lane {start} to lane {goal}")
    return dataclasses.replace(_path(town, legs), split=route_split((leg.lane for leg in legs), town))


def _cheapest(town: LaneMap, start: int, goal: int) -> list[_Leg] | None:
    """Dijkstra's algorithm over lanes; a lane may be changed once, where it is long enough."""
    waiting: list[tuple[float, int, list[_Leg]]] = [(0.0, start, [])]
    done: set[int] = set()
    while waiting:
        cost, number, legs = heapq.heappop(waiting)
        if number == goal:
            return [*legs, _Leg(number, 0)]
        if number in done:
            continue
        done.add(number)
        lane = town.lanes[number]
        for following in lane.successors:
            heapq.heappush(waiting, (cost + lane.length, following, [*legs, _Leg(number, 0)]))
        changed = bool(legs) and legs[-1].change != 0  # once a lane: there is no room for two
        if not changed and lane.length > _CHANGE_FROM + _CHANGE_LENGTH:
            for neighbour, side in ((lane.left, -1), (lane.right, 1)):
                if neighbour >= 0:
                    heapq.heappush(waiting, (cost + _CHANGE_COST, neighbour, [*legs, _Leg(number, side)]))
    return None


def _path(town: LaneMap, legs: list[_Leg]) -> Route:
    points: list[Floats] = []
    lanes: list[npt.NDArray[np.int64]] = []
    doing: list[npt.NDArray[np.int64]] = []  # the manoeuvre at each point, FOLLOW where there is none
    begin = 0.0  # on the leg's lane
    for leg in legs:
        lane = town.lanes[leg.lane]
        if leg.change:
            places, ends = _changed(lane, town.lanes[lane.left if leg.change < 0 else lane.right])
            manoeuvre = np.where(ends, CHANGE_LEFT if leg.change < 0 else CHANGE_RIGHT, FOLLOW)
            begin = _CHANGE_FROM + _CHANGE_LENGTH
        else:
            places = np.array([lane.at(d)[:2] for d in np.arange(begin, lane.length, SPACING / 2)])
            manoeuvre = np.full(len(places), _TURNS[lane.turn])
            begin = 0.0
        points.append(places)
        lanes.append(np.full(len(places), leg.lane))
        doing.append(manoeuvre)
    return _sampled(np.vstack(points), np.concatenate(lanes), np.concatenate(doing))


def _changed(lane: Lane, other: Lane) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """From a lane's begin to the lane beside it, over along a cosine; and where it is neither lane's middle."""
    found = []
    at = np.arange(0.0, _CHANGE_FROM + _CHANGE_LENGTH, SPACING / 2)
    for d in at:
        share = min(max((d - _CHANGE_FROM) / _CHANGE_LENGTH, 0.0), 1.0)
        blend = (1 - math.cos(math.pi * share)) / 2
        one, two = lane.at(d), other.at(d)
        found.append([one[i] * (1 - blend) + two[i] * blend for i in (0, 1)])
    return np.array(found), at >= _CHANGE_FROM


def _sampled(points: Floats, lanes: npt.NDArray[np.int64], doing: npt.NDArray[np.int64]) -> Route:
    """Points at equal distances; each has the command of the manoeuvre it is in, or of the nearest one ahead."""
    keep = np.concatenate([[True], np.hypot(*np.diff(points, axis=0).T) > 1e-6])
    points, lanes, doing = points[keep], lanes[keep], doing[keep]
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    wanted = np.arange(0.0, along[-1], SPACING)
    even = np.stack([np.interp(wanted, along, points[:, i]) for i in (0, 1)], axis=1)
    steps = np.gradient(even, axis=0)
    nearest = np.minimum(np.searchsorted(along, wanted, side="right") - 1, len(lanes) - 1)
    commands = doing[nearest].copy()
    for index in reversed(np.flatnonzero(np.diff(doing[nearest])) + 1):  # the last manoeuvre first
        command = int(doing[nearest][index])
        if command != FOLLOW:
            before = slice(max(index - round(_AHEAD[command] / SPACING), 0), index)
            commands[before] = np.where(doing[nearest][before] == FOLLOW, command, commands[before])
    return Route(even, np.arctan2(steps[:, 1], steps[:, 0]), commands, lanes[nearest])
