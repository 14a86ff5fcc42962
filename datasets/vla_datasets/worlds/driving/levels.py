"""What the name of a level says: a weather, and "+traffic" and "+pushed" where it has them, in this order."""

from __future__ import annotations

from dataclasses import dataclass

from vla_datasets.errors import CollectError
from vla_datasets.worlds.driving.weather import WEATHERS, Weather

__all__ = ["Level", "read_level"]

_PARTS = ("traffic", "pushed")


@dataclass(frozen=True)
class Level:
    """The weather, whether others are on the road, and whether the car is pushed off its path."""

    weather: Weather
    traffic: bool
    pushed: bool


def read_level(world: str, text: str) -> Level:
    """The level called `text`.

    Raises:
        CollectError: there is none.
    """
    weather, *more = text.split("+")
    if weather not in WEATHERS or more != [part for part in _PARTS if part in more]:
        raise CollectError(
            f"Unknown {world} level '{text}'; there are {', '.join(WEATHERS)}, each alone or with '+traffic', "
            "'+pushed' or '+traffic+pushed'."
        )
    return Level(WEATHERS[weather], *(part in more for part in _PARTS))
