"""Weathers: what they do to a picture of the scene. Names are the levels of the world.

Rain streaks and headlights are drawn into the picture; sky, haze and brightness are the renderer's (`scene.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["WEATHERS", "Weather"]

Picture = npt.NDArray[np.uint8]
_STREAKS, _SHORTEST, _LONGEST = 140, 5, 16  # of rain at 256 pixels: how many, and their lengths


@dataclass(frozen=True)
class Weather:
    """Sky (R, G, B in 0..1), brightness of what has no light of its own, and density of the haze (1/m)."""

    name: str
    sky: tuple[float, float, float]
    brightness: float = 1.0
    haze: float = 0.0
    rain: bool = False
    night: bool = False

    def drawn(self, picture: Picture, rng: np.random.Generator) -> Picture:
        """The picture with headlights and rain, (H, W, 3)."""
        if self.night:
            picture = np.clip(picture * (1 + 2.2 * _headlights(*picture.shape[:2])), 0, 255).astype(np.uint8)
        if self.rain:
            picture = _rain(picture.copy(), rng)
        return picture


WEATHERS = {
    weather.name: weather
    for weather in (
        Weather("clear", (0.55, 0.72, 0.92)),
        Weather("rain", (0.45, 0.48, 0.52), 0.62, 0.02, rain=True),
        Weather("fog", (0.70, 0.72, 0.74), 0.85, 0.045),
        Weather("night", (0.02, 0.02, 0.06), 0.28, 0.03, night=True),
    )
}


def _headlights(height: int, width: int) -> npt.NDArray[np.float64]:
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width]).reshape(2, 1, 1)
    light: npt.NDArray[np.float64] = np.exp(-(((x - 0.5) / 0.28) ** 2) - ((y - 0.75) / 0.2) ** 2)
    return light[..., None]


def _rain(picture: Picture, rng: np.random.Generator) -> Picture:
    height, width = picture.shape[:2]
    count = _STREAKS * width // 256
    places = zip(
        rng.integers(0, width, count),
        rng.integers(0, height, count),
        rng.integers(_SHORTEST, _LONGEST, count),
        strict=True,
    )
    for x, y, length in places:
        picture[y : y + length, x] = picture[y : y + length, x] // 2 + 100
    return picture
