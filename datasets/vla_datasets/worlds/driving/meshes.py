"""Triangles with a colour for each corner: what the scene is made of.

Axes are Panda3D's: x east, y north, z up. Lanes have y south (`lanes.py`); whoever adds a lane's shape turns it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from panda3d.core import Geom, GeomNode, GeomTriangles, GeomVertexData, GeomVertexFormat, GeomVertexWriter, NodePath

__all__ = ["Color", "Mesh", "Point", "car", "pedestrian"]

Point = tuple[float, float, float]
Color = tuple[float, float, float]
_FACES = (
    (1.1, "top"),
    (0.85, "south"),
    (0.8, "north"),
    (0.65, "west"),
    (0.7, "east"),
)  # brightness: no lamps are needed
CAR_COLORS: Sequence[Color] = ((0.7, 0.1, 0.1), (0.1, 0.2, 0.6), (0.8, 0.8, 0.8), (0.15, 0.15, 0.15), (0.7, 0.6, 0.1))
COATS: Sequence[Color] = ((0.8, 0.3, 0.2), (0.2, 0.3, 0.8), (0.2, 0.6, 0.3), (0.9, 0.8, 0.2))


class Mesh:
    """Triangles that are added one after the other."""

    def __init__(self) -> None:
        self._data = GeomVertexData("mesh", GeomVertexFormat.getV3c4(), Geom.UHStatic)
        self._points, self._colors = GeomVertexWriter(self._data, "vertex"), GeomVertexWriter(self._data, "color")
        self._triangles, self._count = GeomTriangles(Geom.UHStatic), 0

    def quad(self, corners: Iterable[Point], color: Color) -> None:
        """Four corners, counterclockwise as seen."""
        for corner in corners:
            self._points.addData3(*corner)
            self._colors.addData4(*color, 1)
        n = self._count
        self._triangles.addVertices(n, n + 1, n + 2)
        self._triangles.addVertices(n, n + 2, n + 3)
        self._count += 4

    def box(self, x: float, y: float, z: float, size: Point, color: Color) -> None:
        """A box on its base at z, around x and y; `size` is along x, y and z. Faces have different brightness."""
        x0, x1, y0, y1, z1 = x - size[0] / 2, x + size[0] / 2, y - size[1] / 2, y + size[1] / 2, z + size[2]
        corners = {
            "top": ((x0, y0, z1), (x1, y0, z1), (x1, y1, z1), (x0, y1, z1)),
            "south": ((x0, y0, z), (x1, y0, z), (x1, y0, z1), (x0, y0, z1)),
            "north": ((x1, y1, z), (x0, y1, z), (x0, y1, z1), (x1, y1, z1)),
            "west": ((x0, y1, z), (x0, y0, z), (x0, y0, z1), (x0, y1, z1)),
            "east": ((x1, y0, z), (x1, y1, z), (x1, y1, z1), (x1, y0, z1)),
        }
        for brightness, face in _FACES:
            r, g, b = (min(1.0, c * brightness) for c in color)
            self.quad(corners[face], (r, g, b))

    def node(self, name: str) -> Any:
        """The mesh as a node of the scene."""
        geometry = Geom(self._data)
        geometry.addPrimitive(self._triangles)
        node = GeomNode(name)
        node.addGeom(geometry)
        return NodePath(node)


def car(color: int) -> Any:
    """A car along x, around 0, in one of the colours."""
    mesh, paint = Mesh(), CAR_COLORS[color % len(CAR_COLORS)]
    mesh.box(0, 0, 0.35, (4.4, 1.8, 0.75), paint)
    mesh.box(-0.2, 0, 1.1, (2.3, 1.6, 0.55), (0.2, 0.25, 0.3))
    for x in (-1.4, 1.4):
        for y in (-0.8, 0.8):
            mesh.box(x, y, 0, (0.65, 0.25, 0.65), (0.05, 0.05, 0.05))
    for y in (-0.6, 0.6):
        mesh.box(-2.2, y, 0.7, (0.1, 0.35, 0.2), (1.0, 0.1, 0.05))
    return mesh.node("car")


def pedestrian(color: int) -> Any:
    """Who walks along x, at 0, in a coat of one of the colours."""
    mesh = Mesh()
    mesh.box(0, 0, 0, (0.25, 0.3, 0.8), (0.15, 0.15, 0.3))
    mesh.box(0, 0, 0.8, (0.3, 0.5, 0.65), COATS[color % len(COATS)])
    mesh.box(0, 0, 1.45, (0.22, 0.22, 0.28), (0.85, 0.65, 0.5))
    return mesh.node("pedestrian")
