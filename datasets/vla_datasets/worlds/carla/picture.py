"""A drive from above, for reports: lanes, the route, others and the car. No server has a part in it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from vla_datasets.worlds.driving.hazards import Place
from vla_datasets.worlds.driving.lanes import LaneMap
from vla_datasets.worlds.driving.route import Route

__all__ = ["from_above"]

_SIDE, _METRES = 512, 80.0  # pixels; of the town
_GROUND, _LANE, _WAY, _OTHER, _PERSON, _EGO = "#3f5a3c", "#5a5a60", "#3f9bff", "#d8d8d8", "#ffb000", "#ff4040"


def from_above(town: LaneMap, route: Route, ego: Place, cars: Sequence[Place], people: Sequence[Place]) -> _Picture:
    """The surroundings of the car, north above, (512, 512, 3)."""
    scale = _SIDE / _METRES
    image = Image.new("RGB", (_SIDE, _SIDE), _GROUND)
    draw = ImageDraw.Draw(image)

    def pixels(points: Iterable[Sequence[float]]) -> list[tuple[float, float]]:
        return [((p[0] - ego[0]) * scale + _SIDE / 2, (p[1] - ego[1]) * scale + _SIDE / 2) for p in points]

    for lane in town.lanes:
        if np.abs(lane.points - ego[:2]).max(axis=1).min() < _METRES:
            draw.line(pixels(lane.points), _LANE, round(lane.width * scale), joint="curve")
    draw.line(pixels(route.points), _WAY, 3)
    for color, places in ((_OTHER, cars), (_EGO, [ego])):
        for x, y, yaw in places:
            forward, right = (2.3 * math.cos(yaw), 2.3 * math.sin(yaw)), (-0.9 * math.sin(yaw), 0.9 * math.cos(yaw))
            corners = [(x + a * forward[0] + b * right[0], y + a * forward[1] + b * right[1]) for a, b in _CORNERS]
            draw.polygon(pixels(corners), color)
    for x, y in pixels(people):
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), _PERSON)
    return np.asarray(image, np.uint8)


_Picture = npt.NDArray[np.uint8]
_CORNERS = ((1, 1), (1, -1), (-1, -1), (-1, 1))
