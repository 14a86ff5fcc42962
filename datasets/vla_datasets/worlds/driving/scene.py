"""Pictures of the town by Panda3D's software renderer: no display, no GPU, equal bytes everywhere.

What is drawn is made of the lanes alone, so any map can be shown. Not here: shapes of cars and people (`meshes.py`),
cameras (`views.py`), rain and headlights (`weather.py`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from panda3d.core import Fog, NodePath

from vla_datasets.worlds.driving import meshes
from vla_datasets.worlds.driving.lanes import Lane, LaneMap
from vla_datasets.worlds.driving.lights import GREEN, RED, STOP_LINE, YELLOW, TrafficLights
from vla_datasets.worlds.driving.meshes import Color, Mesh
from vla_datasets.worlds.driving.route import Route
from vla_datasets.worlds.driving.traffic import Car, Pedestrian, Traffic
from vla_datasets.worlds.driving.vehicle import Vehicle
from vla_datasets.worlds.driving.views import Mount, View, orthographic, perspective
from vla_datasets.worlds.driving.weather import Weather

__all__ = ["Scene"]

_ABOVE, _SEEN = 512, 80.0  # pixels and metres of the picture from above
_ASPHALT, _SIDEWALK, _GRASS = (0.23, 0.23, 0.25), (0.55, 0.55, 0.53), (0.30, 0.45, 0.22)
_WHITE, _YELLOW_LINE = (0.85, 0.85, 0.82), (0.80, 0.65, 0.10)
_LAMPS = {RED: (1.0, 0.08, 0.05), YELLOW: (1.0, 0.75, 0.05), GREEN: (0.1, 1.0, 0.35)}
_WALLS: tuple[Color, ...] = (
    (0.6, 0.45, 0.35),
    (0.5, 0.5, 0.55),
    (0.7, 0.65, 0.5),
    (0.45, 0.35, 0.32),
    (0.65, 0.6, 0.6),
)
_LAYERS = {"grass": -0.06, "sidewalk": 0.0, "road": 0.04, "line": 0.08}  # metres: what is higher is seen
_DASH, _GAP, _LINE = 2.0, 3.0, 0.16
_BUILDINGS, _NEAREST, _FARTHEST = 140, 13.0, 24.0  # how many, and metres from the middle of a lane
_ACROSS = 22.0  # metres from a stop line to the lamp beyond the junction


class Scene:
    """A town that can be drawn; one for each world, with buffers of its own.

    Args:
        mounts: cameras of the car; those whose pictures are alike in size and width share a buffer.

    Raises:
        CollectError: there is no software renderer.
    """

    def __init__(self, town: LaneMap, mounts: Sequence[Mount]) -> None:
        self._root = NodePath("town")
        self._root.setBin("fixed", 0)  # drawn in the order of the scene; else of addresses in memory, which is chance
        _static(town).copyTo(self._root)
        self._mounts = tuple(mounts)
        lenses = dict.fromkeys((m.field, m.width, m.height) for m in mounts)
        self._views = {lens: View(self._root, *lens[1:], perspective(*lens)) for lens in lenses}
        self._above = View(self._root, _ABOVE, _ABOVE, orthographic(_SEEN))
        self._cars, self._people = _Moving(meshes.car), _Moving(meshes.pedestrian)
        self._lamps: list[dict[str, Any]] = []
        self._own = meshes.car(2)

    def from_car(
        self, ego: Vehicle, traffic: Traffic, lights: TrafficLights, clock: float, weather: Weather
    ) -> list[npt.NDArray[np.uint8]]:
        """What each camera of the car sees, (height, width, 3), without rain and headlights."""
        self._place(traffic, lights, clock)
        r, g, b = weather.sky
        shade = weather.brightness
        self._root.setColorScale(shade, shade, min(shade * 1.05, 1.0), 1)
        self._root.clearFog()
        if weather.haze:
            fog = Fog("haze")
            fog.setColor(r, g, b)
            fog.setExpDensity(weather.haze)
            self._root.setFog(fog)
        return [self._seen_by(mount, ego, weather) for mount in self._mounts]

    def _seen_by(self, mount: Mount, ego: Vehicle, weather: Weather) -> npt.NDArray[np.uint8]:
        view = self._views[mount.field, mount.width, mount.height]
        x, y = ego.x + mount.forward * math.cos(ego.yaw), ego.y + mount.forward * math.sin(ego.yaw)
        heading = -math.degrees(ego.yaw) - 90 + mount.yaw
        view.camera.setPosHpr(x, -y, mount.up, heading, mount.pitch, 0)
        return view.picture(weather.sky)

    def from_above(self, ego: Vehicle, route: Route) -> npt.NDArray[np.uint8]:
        """The surroundings as they were drawn last, from above, north up, with the car and its route."""
        self._root.setColorScale(1, 1, 1, 1)
        self._root.clearFog()
        path = Mesh()
        for (x, y), (u, v) in zip(route.points[:-1], route.points[1:], strict=True):
            _strip(path, (x, y), (u, v), 0.25, 0.5, (0.2, 0.5, 1.0))
        shown = [path.node("route"), self._own]
        self._own.setPosHpr(ego.x, -ego.y, 0, -math.degrees(ego.yaw), 0, 0)
        for node in shown:
            node.reparentTo(self._root)
        self._above.camera.setPosHpr(ego.x, -ego.y, 100, 0, -90, 0)
        picture = self._above.picture(_GRASS)
        for node in shown:
            node.detachNode()
        return picture

    def close(self) -> None:
        """Free the buffers."""
        for view in (*self._views.values(), self._above):
            view.close()

    def _place(self, traffic: Traffic, lights: TrafficLights, clock: float) -> None:
        """Every thing that moves to where it is; shapes are made when an episode has others."""
        self._cars.show(self._root, traffic.cars)
        self._people.show(self._root, traffic.pedestrians)
        if len(self._lamps) != len(lights.signals):
            self._lamps = [_signal(self._root, s.x, s.y, s.yaw) for s in lights.signals]
        for lamps, signal in zip(self._lamps, lights.signals, strict=True):
            shown = lights.color(signal, clock)
            for color, node in lamps.items():
                if color == shown:
                    node.show()
                else:
                    node.hide()


class _Moving:
    """Cars, or people: shapes are made when an episode has others, and moved to where their like are."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self._make = make
        self._nodes: list[Any] = []
        self._colors: list[int] = []

    def show(self, root: Any, things: Sequence[Car | Pedestrian]) -> None:
        """Move each shape to its place."""
        if self._colors != [thing.color for thing in things]:
            for node in self._nodes:
                node.removeNode()
            self._colors = [thing.color for thing in things]
            self._nodes = [self._make(color) for color in self._colors]
            for node in self._nodes:
                node.reparentTo(root)
        for node, thing in zip(self._nodes, things, strict=True):
            x, y, yaw = thing.place
            node.setPosHpr(x, -y, _LAYERS["road"], -math.degrees(yaw), 0, 0)


@functools.cache
def _static(town: LaneMap) -> Any:
    """What does not move; the same for all worlds of a town."""
    mesh = Mesh()
    low, high = (
        np.min([lane.points.min(axis=0) for lane in town.lanes], axis=0),
        np.max([lane.points.max(axis=0) for lane in town.lanes], axis=0),
    )
    step, z = 20.0, _LAYERS["grass"]
    for x in np.arange(low[0] - 100, high[0] + 100, step):  # in parts: haze is computed at corners
        for y in np.arange(low[1] - 100, high[1] + 100, step):
            mesh.quad(((x, -y - step, z), (x + step, -y - step, z), (x + step, -y, z), (x, -y, z)), _GRASS)
    for lane in town.lanes:
        half = lane.width / 2
        _surface(mesh, lane, (-half - 2.5, half + 2.5), _LAYERS["sidewalk"], _SIDEWALK)
        _surface(mesh, lane, (-half - 0.05, half + 0.05), _LAYERS["road"], _ASPHALT)
        if lane.junction < 0:
            _lines(mesh, lane)
        else:  # to the left of every way through a junction is more of the junction
            _surface(mesh, lane, (-half - 4, 0), _LAYERS["road"] - 0.02, _ASPHALT)
    _buildings(mesh, town, low, high)
    return mesh.node("static")


def _surface(mesh: Mesh, lane: Lane, sides: tuple[float, float], z: float, color: Color) -> None:
    """A strip along a lane, from so many metres beside its middle to so many (right is positive)."""
    points = lane.points[:: 2 if len(lane.points) % 2 else 1]
    yaws = lane.yaws[:: 2 if len(lane.points) % 2 else 1]
    beside = np.stack([-np.sin(yaws), np.cos(yaws)], axis=1)
    left, right = (points + beside * side for side in sides)
    for i in range(len(points) - 1):
        corners = (right[i], right[i + 1], left[i + 1], left[i])
        mesh.quad([(float(x), -float(y), z) for x, y in corners], color)


def _lines(mesh: Mesh, lane: Lane) -> None:
    """Dashes between lanes of one direction, a yellow line to the other one; white ones at the edge and to stop at."""
    half = lane.width / 2
    step = _DASH + _GAP
    for at in np.arange(0.0, lane.length - _DASH, step):
        if lane.left >= 0:
            _line(mesh, lane, at, at + _DASH, -half, _WHITE)
        else:
            _line(mesh, lane, at, min(at + step, lane.length), -half + 0.1, _YELLOW_LINE)
        if lane.right < 0:
            _line(mesh, lane, at, min(at + step, lane.length), half - 0.1, _WHITE)
    x, y, yaw = lane.at(lane.length - STOP_LINE)
    side = (-math.sin(yaw) * half, math.cos(yaw) * half)
    _strip(mesh, (x - side[0], y - side[1]), (x + side[0], y + side[1]), 0.2, _LAYERS["line"], _WHITE)


def _line(mesh: Mesh, lane: Lane, begin: float, end: float, beside: float, color: Color) -> None:
    places = []
    for d in (begin, end):
        x, y, yaw = lane.at(d)
        places.append((x - math.sin(yaw) * beside, y + math.cos(yaw) * beside))
    _strip(mesh, places[0], places[1], _LINE / 2, _LAYERS["line"], color)


def _strip(
    mesh: Mesh, begin: tuple[float, float], end: tuple[float, float], half: float, z: float, color: Color
) -> None:
    """A flat strip from one place to another, in the axes of lanes."""
    (x, y), (u, v) = begin, end
    length = math.hypot(u - x, v - y) or 1.0
    a, b = -(v - y) / length * half, (u - x) / length * half
    corners = ((x + a, y + b), (u + a, v + b), (u - a, v - b), (x - a, y - b))
    mesh.quad([(p, -q, z) for p, q in corners], color)


def _buildings(mesh: Mesh, town: LaneMap, low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]) -> None:
    """Houses with rows of windows, beside the roads; the same in every episode."""
    rng = np.random.default_rng(0)
    built = 0
    for _ in range(40 * _BUILDINGS):
        if built == _BUILDINGS:
            return
        x, y = rng.uniform(low - 30, high + 30)
        lane, _, _ = town.nearest(x, y)
        away = float(np.hypot(lane.points[:, 0] - x, lane.points[:, 1] - y).min())
        if not _NEAREST < away < _FARTHEST:
            continue
        width, depth = (float(v) for v in rng.uniform(6, 11, 2))
        height, wall = float(rng.uniform(4, 16)), _WALLS[int(rng.integers(len(_WALLS)))]
        mesh.box(x, -y, 0.0, (width, depth, height), wall)
        for floor in range(int(height // 3)):
            mesh.box(x, -y, 1.2 + 3 * floor, (width + 0.1, depth + 0.1, 1.0), (0.25, 0.3, 0.38))
        built += 1


def _signal(root: Any, x: float, y: float, yaw: float) -> dict[str, Any]:
    """The lamps of an arm, beyond its junction and beside its stop line; each colour is a node."""
    lamps = {}
    places = [(_ACROSS, 0.0, 5.2, 1.1), (1.0, 3.2, 3.0, 0.6)]  # ahead, to the right, height, size
    for number, color in enumerate((GREEN, YELLOW, RED)):
        mesh = Mesh()
        for ahead, right, height, size in places:
            u = x + ahead * math.cos(yaw) - right * math.sin(yaw)
            v = y + ahead * math.sin(yaw) + right * math.cos(yaw)
            mesh.box(u, -v, height + number * size, (size, size, size), _LAMPS[color])
        node = mesh.node(color)
        node.reparentTo(root)
        node.setColorScaleOff(1)
        node.setFogOff()
        lamps[color] = node
    frame = Mesh()
    for ahead, right, height, size in places:
        u = x + (ahead + size) * math.cos(yaw) - right * math.sin(yaw)
        v = y + (ahead + size) * math.sin(yaw) + right * math.cos(yaw)
        frame.box(u, -v, height - 0.2, (size * 0.9, size * 0.9, 3 * size + 0.4), (0.1, 0.1, 0.1))
        frame.box(u, -v, 0, (0.2, 0.2, height), (0.2, 0.2, 0.2))
    frame.node("frame").reparentTo(root)
    return lamps
