"""What the name of a level says: a weather, and "+traffic" and "+pushed" where it has them, in this order.

The level "mixed" draws weather and traffic for each episode.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vla_datasets.errors import CollectError
from vla_datasets.worlds.driving.weather import WEATHERS, Weather

__all__ = ["Level", "read_level"]

_PARTS = ("traffic", "pushed")
_MIXED = "mixed"


@dataclass(frozen=True)
class Level:
    """The weather, whether others are on the road, whether the car is pushed off its path, and whether the first two
    are drawn for each episode."""

    weather: Weather
    traffic: bool
    pushed: bool
    mixed: bool = False

    def of_episode(self, rng: np.random.Generator) -> Level:
        """This level, or what an episode of a mixed one draws: any weather, with traffic or without."""
        if not self.mixed:
            return self
        weather = tuple(WEATHERS.values())[int(rng.integers(len(WEATHERS)))]
        return replace(self, weather=weather, traffic=bool(rng.integers(2)), mixed=False)


def read_level(world: str, text: str) -> Level:
    """The level called `text`.

    Raises:
        CollectError: there is none.
    """
    weather, *more = text.split("+")
    if weather == _MIXED and more in ([], ["pushed"]):
        return Level(WEATHERS["clear"], traffic=False, pushed=bool(more), mixed=True)
    if weather not in WEATHERS or more != [part for part in _PARTS if part in more]:
        raise CollectError(
            f"Unknown {world} level '{text}'; there are {', '.join(WEATHERS)}, each alone or with '+traffic', "
            f"'+pushed' or '+traffic+pushed', and '{_MIXED}' and '{_MIXED}+pushed', which draw weather and traffic for "
            "each episode."
        )
    return Level(WEATHERS[weather], *(part in more for part in _PARTS))
