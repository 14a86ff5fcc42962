"""A small town as OpenDRIVE 1.4 text: a grid of junctions, roads with two lanes each way and sidewalks.

Format: ASAM OpenDRIVE 1.4H. Any other OpenDRIVE map can take its place; this one is generated, so that no map has to be
shipped. Not here: reading a map (`lanes.py`).

OpenDRIVE's y axis points left of x; CARLA's points right. Here is OpenDRIVE, and `lanes.py` turns it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.etree import ElementTree

__all__ = ["LANE_WIDTH", "SIDEWALK_WIDTH", "Grid", "grid_town"]

LANE_WIDTH = 3.5  # metres, as is a lane of a city street
SIDEWALK_WIDTH = 2.5
LANES = 2  # each way
_DIRECTIONS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # of the arms of a junction, counterclockwise
_STRAIGHT, _LEFT, _RIGHT = 0, 1, 3  # quarter turns
_TURNS = {1: (_STRAIGHT, _LEFT), LANES: (_STRAIGHT, _RIGHT)}  # of the lane next to the middle, and of the outer one
Node = tuple[int, int]


@dataclass(frozen=True)
class Grid:
    """Junctions at multiples of `spacing` metres; a junction reaches `radius` metres into its roads."""

    columns: int = 3
    rows: int = 3
    spacing: float = 80.0
    radius: float = 14.0


@dataclass(frozen=True)
class _Arm:
    """Where a road touches a junction."""

    road: int
    contact: str  # the road's "start" or "end"

    def incoming(self, lane: int) -> int:
        """The id of the road's lane number `lane`, from the middle, that leads into the junction."""
        return -lane if self.contact == "end" else lane

    def outgoing(self, lane: int) -> int:
        """The same of one that leads out of it."""
        return -lane if self.contact == "start" else lane


def grid_town(grid: Grid | None = None) -> str:
    """The OpenDRIVE text of a town."""
    return _Town(grid or Grid()).text()


class _Town:
    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.root = ElementTree.Element("OpenDRIVE")
        sides = {"north": 0, "south": 0, "east": 0, "west": 0}
        header = _add(self.root, "header", revMajor=1, revMinor=4, name="grid", version="1.00", **sides)
        _add(header, "geoReference").text = "+proj=tmerc +lat_0=0 +lon_0=0 +k=1 +x_0=0 +y_0=0 +datum=WGS84"
        self.nodes = [(i, j) for i in range(grid.columns) for j in range(grid.rows)]
        self.junctions = {node: 1000 + number for number, node in enumerate(self.nodes)}
        self.arms: dict[tuple[Node, int], _Arm] = {}
        self.roads = 0

    def text(self) -> str:
        """Roads first, then what connects them."""
        for node in self.nodes:
            for direction in (0, 1):
                self._street(node, direction)
        paths = {node: self._paths(node) for node in self.nodes}
        for node, found in paths.items():
            junction = _add(self.root, "junction", id=self.junctions[node], name=f"junction {node[0]} {node[1]}")
            for number, (arm, road, lane) in enumerate(found):
                connection = _add(
                    junction, "connection", id=number, incomingRoad=arm.road, connectingRoad=road, contactPoint="start"
                )
                _add(connection, "laneLink", **{"from": arm.incoming(lane), "to": -1})
        return ElementTree.tostring(self.root, encoding="unicode")

    def _street(self, node: Node, direction: int) -> None:
        """The road from a junction to its neighbour to the right or above, if there is one."""
        dx, dy = _DIRECTIONS[direction]
        other = (node[0] + dx, node[1] + dy)
        if other not in self.junctions:
            return
        grid = self.grid
        x, y = node[0] * grid.spacing + dx * grid.radius, node[1] * grid.spacing + dy * grid.radius
        number, road = self._road(x, y, direction * math.pi / 2, grid.spacing - 2 * grid.radius, 0.0, -1)
        link = road.find("link")
        assert link is not None
        _add(link, "predecessor", elementType="junction", elementId=self.junctions[node])
        _add(link, "successor", elementType="junction", elementId=self.junctions[other])
        section = _add(_lanes(road), "laneSection", s=0)
        for side, sign in (("left", 1), ("center", 0), ("right", -1)):
            group = _add(section, side)
            if not sign:
                _mark(_add(group, "lane", id=0, type="none", level="false"), "solid", "yellow")
                continue
            ids = range(LANES + 1, 0, -1) if sign > 0 else range(1, LANES + 2)
            for lane in ids:
                walk = lane > LANES
                element = _lane(group, sign * lane, "sidewalk" if walk else "driving", walk)
                _mark(element, "none" if walk else "solid" if lane == LANES else "broken", "white")
        self.arms[node, direction] = _Arm(number, "start")
        self.arms[other, (direction + 2) % 4] = _Arm(number, "end")

    def _paths(self, node: Node) -> list[tuple[_Arm, int, int]]:
        """A road of one lane through the junction for every way a lane may take: arm it comes from, road, lane."""
        found = []
        for side in range(4):
            if (node, side) not in self.arms:
                continue
            possible = [turn for turn in (_STRAIGHT, _LEFT, _RIGHT) if (node, (side + 2 + turn) % 4) in self.arms]
            for lane, turns in _TURNS.items():
                for turn in [t for t in turns if t in possible] or possible:  # no lane ends
                    path = self._path(node, side, (side + 2 + turn) % 4, turn, lane)
                    found.append((self.arms[node, side], path, lane))
        return found

    def _path(self, node: Node, side: int, out: int, turn: int, lane: int) -> int:
        grid, (dx, dy) = self.grid, _DIRECTIONS[side]
        heading = (side + 2) % 4 * math.pi / 2
        offset = (lane - 1) * LANE_WIDTH  # to the right of the middle, where the lane's left edge is
        x = node[0] * grid.spacing + dx * grid.radius + offset * math.sin(heading)
        y = node[1] * grid.spacing + dy * grid.radius - offset * math.cos(heading)
        radius = {_LEFT: grid.radius + offset, _RIGHT: grid.radius - offset}.get(turn, 0.0)
        length = radius * math.pi / 2 if turn else 2 * grid.radius
        curvature = {_STRAIGHT: 0.0, _LEFT: 1, _RIGHT: -1}[turn] / (radius or 1.0)
        number, road = self._road(x, y, heading, length, curvature, self.junctions[node])
        arm, exit_ = self.arms[node, side], self.arms[node, out]
        link = road.find("link")
        assert link is not None
        for name, end in (("predecessor", arm), ("successor", exit_)):
            _add(link, name, elementType="road", elementId=end.road, contactPoint=end.contact)
        section = _add(_lanes(road), "laneSection", s=0)
        _mark(_add(_add(section, "center"), "lane", id=0, type="none", level="false"), "none", "white")
        element = _lane(_add(section, "right"), -1, "driving", False)
        ends = element.find("link")
        assert ends is not None
        _add(ends, "predecessor", id=arm.incoming(lane))
        _add(ends, "successor", id=exit_.outgoing(lane))
        _mark(element, "none", "white")
        return number

    def _road(
        self, x: float, y: float, heading: float, length: float, curvature: float, junction: int
    ) -> tuple[int, ElementTree.Element]:
        number = self.roads
        self.roads += 1
        road = _add(self.root, "road", name=f"road {number}", length=length, id=number, junction=junction)
        _add(road, "link")
        _add(_add(road, "type", s=0, type="town"), "speed", max=30, unit="km/h")
        geometry = _add(_add(road, "planView"), "geometry", s=0, x=x, y=y, hdg=heading, length=length)
        if curvature:
            _add(geometry, "arc", curvature=curvature)
        else:
            _add(geometry, "line")
        _add(_add(road, "elevationProfile"), "elevation", s=0, a=0, b=0, c=0, d=0)
        _add(road, "lateralProfile")
        return number, road


def _lanes(road: ElementTree.Element) -> ElementTree.Element:
    lanes = _add(road, "lanes")
    _add(lanes, "laneOffset", s=0, a=0, b=0, c=0, d=0)
    return lanes


def _lane(group: ElementTree.Element, number: int, kind: str, walk: bool) -> ElementTree.Element:
    lane = _add(group, "lane", id=number, type=kind, level="false")
    _add(lane, "link")
    _add(lane, "width", sOffset=0, a=SIDEWALK_WIDTH if walk else LANE_WIDTH, b=0, c=0, d=0)
    return lane


def _mark(lane: ElementTree.Element, kind: str, color: str) -> None:
    change = "both" if kind == "broken" else "none"
    _add(lane, "roadMark", sOffset=0, type=kind, weight="standard", color=color, width=0.12, laneChange=change)


def _add(parent: ElementTree.Element, tag: str, **attributes: object) -> ElementTree.Element:
    text = {name: f"{v:.9f}" if isinstance(v, float) else str(v) for name, v in attributes.items()}
    return ElementTree.SubElement(parent, tag, text)
