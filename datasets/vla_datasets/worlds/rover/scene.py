"""Pictures of the ground around the rover by Panda3D's software renderer: no display, no GPU, equal bytes everywhere.

Not here: what there is (`ground.py`), cameras (`driving.views`), rain and headlights (`driving.weather`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from panda3d.core import Fog, NodePath

from vla_datasets.worlds.driving.meshes import Color, Mesh, pedestrian
from vla_datasets.worlds.driving.views import View, orthographic, perspective
from vla_datasets.worlds.driving.weather import Weather
from vla_datasets.worlds.rover.ground import Ground, Passage, Patch
from vla_datasets.worlds.rover.motion import Motion
from vla_datasets.worlds.rover.names import SIZE

__all__ = ["Scene"]

_ABOVE, _SEEN = 384, 16.0  # pixels and metres of the picture from above
_UP, _FORWARD, _PITCH, _FIELD = 0.75, 0.2, -14.0, 90.0  # of the camera: m, m, degrees
_SHAKEN = 0.9  # degrees of pitch and roll for a shake of 1 m/s^2
_TILE, _NEAR, _FAR = 1.0, -4.0, 20.0  # m: tiles of the ground have shades of their own, so that motion is seen
_SIDE = 7.0
_EARTHS: tuple[Color, ...] = ((0.42, 0.36, 0.26), (0.36, 0.42, 0.24), (0.40, 0.40, 0.38))
_STONE, _ICE, _WALL = (0.32, 0.30, 0.29), (0.62, 0.74, 0.86), (0.50, 0.35, 0.30)


class Scene:
    """A camera on the rover and one above; one for each world, with buffers of its own.

    Raises:
        CollectError: there is no software renderer.
    """

    def __init__(self) -> None:
        self._root = NodePath("ground")
        self._root.setBin("fixed", 0)  # drawn in the order of the scene; else of addresses in memory, which is chance
        self._front = View(self._root, SIZE, SIZE, perspective(_FIELD, SIZE, SIZE))
        self._above = View(self._root, _ABOVE, _ABOVE, orthographic(_SEEN))
        self._still: Any = None
        self._people: list[Any] = []
        rover = Mesh()
        rover.box(0, 0, 0.1, (0.7, 0.5, 0.3), (0.9, 0.8, 0.1))
        self._own = rover.node("rover")

    def begin(self, ground: Ground, weather: Weather, rng: np.random.Generator) -> None:
        """Build an episode's ground; colours come from `rng`."""
        for node in (self._still, *self._people):
            if node is not None:
                node.removeNode()
        self._still = _still(ground, rng)
        self._still.reparentTo(self._root)
        self._people = [pedestrian(person.coat) for person in ground.people]
        for node in self._people:
            node.reparentTo(self._root)
        shade = weather.brightness
        self._root.setColorScale(shade, shade, min(shade * 1.05, 1.0), 1)
        self._root.clearFog()
        if weather.haze:
            fog = Fog("haze")
            fog.setColor(*weather.sky)
            fog.setExpDensity(weather.haze)
            self._root.setFog(fog)

    def from_rover(
        self, ground: Ground, motion: Motion, weather: Weather, rng: np.random.Generator
    ) -> npt.NDArray[np.uint8]:
        """What the camera sees, (SIZE, SIZE, 3), shaken by what is under the rover."""
        self._place(ground)
        pitch, roll = rng.normal(0, _SHAKEN * motion.shake, 2)
        x, y = motion.x + _FORWARD * math.cos(motion.yaw), motion.y + _FORWARD * math.sin(motion.yaw)
        self._front.camera.setPosHpr(x, y, _UP, math.degrees(motion.yaw) - 90, _PITCH + pitch, roll)
        return weather.drawn(self._front.picture(weather.sky), rng)

    def from_above(self, ground: Ground, motion: Motion) -> npt.NDArray[np.uint8]:
        """The surroundings from above, the rover's start to the left, with the rover."""
        self._place(ground)
        self._own.reparentTo(self._root)
        self._own.setPosHpr(motion.x, motion.y, 0, math.degrees(motion.yaw), 0, 0)
        self._above.camera.setPosHpr(motion.x + _SEEN / 4, motion.y, 50, 0, -90, 0)
        picture = self._above.picture(_EARTHS[0])
        self._own.detachNode()
        return picture

    def close(self) -> None:
        """Free the buffers."""
        for view in (self._front, self._above):
            view.close()

    def _place(self, ground: Ground) -> None:
        for node, person in zip(self._people, ground.people, strict=True):
            node.setPosHpr(person.x, person.y, 0, math.degrees(math.atan2(person.vy, person.vx)), 0, 0)


def _still(ground: Ground, rng: np.random.Generator) -> Any:
    """What does not move."""
    mesh = Mesh()
    earth = np.array(_EARTHS[int(rng.integers(len(_EARTHS)))])
    mesh.quad(((-60, -60, -0.03), (90, -60, -0.03), (90, 60, -0.03), (-60, 60, -0.03)), tuple(earth))
    for x in np.arange(_NEAR, _FAR, _TILE):
        for y in np.arange(-_SIDE, _SIDE, _TILE):
            _flat(mesh, x, y, _TILE, _TILE, 0.0, tuple(earth * rng.uniform(0.75, 1.2)))
    for patch in ground.patches:
        _patch(mesh, patch, rng)
    for box in ground.boxes:
        mesh.box(box.x, box.y, 0, (1.7 * box.radius, 1.7 * box.radius, box.height), box.color)
    for passage in ground.passages:
        _passage(mesh, passage, rng)
    for _ in range(14):  # far away: for the eye to hold on to
        way, far, high = rng.uniform(-math.pi, math.pi), rng.uniform(16, 40), rng.uniform(1, 7)
        color = tuple(float(c) for c in rng.uniform(0.15, 0.6, 3))
        wide = rng.uniform(1, 5)
        mesh.box(far * math.cos(way), far * math.sin(way), 0, (wide, wide, high), color)  # type: ignore[arg-type]
    return mesh.node("still")


def _patch(mesh: Mesh, patch: Patch, rng: np.random.Generator) -> None:
    """Ice shines; stones are many, of many greys."""
    left, right = patch.x - patch.length / 2, patch.y - patch.width / 2
    color = _ICE if patch.ice else _STONE
    _flat(mesh, left, right, patch.length, patch.width, 0.01 if patch.ice else 0.02, color)
    for _ in range(0 if patch.ice else 40):
        size, shade = rng.uniform(0.08, 0.3), rng.uniform(0.15, 0.75)
        x, y = left + rng.uniform(0, patch.length - size), right + rng.uniform(0, patch.width - size)
        _flat(mesh, x, y, size, size, 0.03, (shade, shade, shade))


def _passage(mesh: Mesh, passage: Passage, rng: np.random.Generator) -> None:
    high, shade = rng.uniform(1.0, 1.8), rng.uniform(0.7, 1.2)
    color = (_WALL[0] * shade, _WALL[1] * shade, _WALL[2] * shade)
    for side in (-1, 1):
        y = passage.y + side * (passage.gap + passage.thickness) / 2
        mesh.box(passage.x + passage.length / 2, y, 0, (passage.length, passage.thickness, high), color)


def _flat(mesh: Mesh, x: float, y: float, length: float, width: float, z: float, color: Any) -> None:
    mesh.quad(((x, y, z), (x + length, y, z), (x + length, y + width, z), (x, y + width, z)), color)
