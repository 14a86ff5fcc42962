"""The weathers of the driving world as CARLA's parameters: its presets, with the earlier CARLA system's rain.

The presets themselves are the client's own objects and stay as they are.
"""

from __future__ import annotations

from typing import Any

import carla

__all__ = ["parameters"]

_PRESETS: dict[str, tuple[str, dict[str, float]]] = {
    "clear": ("ClearNoon", {}),
    "rain": ("HardRainNoon", {"fog_density": 10.0, "wetness": 100.0}),
    "fog": ("CloudyNoon", {"fog_density": 60.0, "fog_distance": 5.0}),
    "night": ("ClearNight", {}),
}


def parameters(name: str) -> Any:
    """A `carla.WeatherParameters` of its own."""
    preset, changes = _PRESETS[name]
    base = getattr(carla.WeatherParameters, preset)
    fields = [field for field in dir(base) if field[0].islower()]
    return carla.WeatherParameters(**{field: getattr(base, field) for field in fields} | changes)
