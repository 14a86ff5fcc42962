"""Trajectories with scores, in the place of people's: if the expert drove on otherwise, how good would that be?

Each variant is played from the same moment, with the same traffic, which minds it. The score is 10 less what is taken
off for closeness, discomfort, ignoring what is in the way, and getting nowhere; 0 for a crash. The weights are ours.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vla_datasets.waymo.driven.track import AFTER, Track
from vla_datasets.waymo.frame import Floats, Rated
from vla_datasets.worlds.driving.expert import expert
from vla_datasets.worlds.driving.hazards import gap
from vla_datasets.worlds.driving.schema import FRAMES_PER_SECOND
from vla_datasets.worlds.driving.simulation import Simulation

__all__ = ["VARIANTS", "Tried", "grade", "rate"]

_CLOSE = 1.0  # m to others, below which it is too close
_HARD, _HARDEST = 3.0, 8.0  # m/s2 that begin to be felt, and that are full brakes
_OFF_CLOSE, _OFF_HARD, _OFF_IGNORED, _OFF_SLOW = 4.0, 2.0, 6.0, 7.0  # points that these cost at most
_MOVES, _BRAKES = 1.0, 0.1  # m/s above which, and brake below which, what is in the way is ignored
_APART = 0.5  # m between two trajectories, on the average, that are not the same
Action = npt.NDArray[np.float32]
Variant = Callable[[Action, float, float], tuple[float, float, float]]

_EXPERT = "as the expert"
# steer, throttle and brake of the expert, speed (m/s) and seconds since now -> steer, throttle and brake
VARIANTS: dict[str, Variant] = {
    _EXPERT: lambda action, speed, time: (action[0], action[1], action[2]),
    "slower": lambda action, speed, time: (action[0], action[1] if speed < 2.0 else 0.0, action[2]),
    "brakes": lambda action, speed, time: (action[0], 0.0, max(action[2], 0.3)),
    "hurries": lambda action, speed, time: (action[0], 1.0 if speed < 8.0 else 0.0, 0.0),
    "swerves": lambda action, speed, time: (action[0] + 0.12 * math.sin(time * 2.5), action[1], action[2]),
}


@dataclass(frozen=True)
class Tried:
    """How a variant went.

    Attributes:
        points: (20, 2), where the car was; see `Track.future`.
        driven: metres.
        closest: metres to others.
        hardest: the largest acceleration in any direction, m/s2.
        ignored: whether it drove on towards what was in the way.
        crashed: whether it touched something or left the road.
    """

    points: Floats
    driven: float
    closest: float
    hardest: float
    ignored: bool
    crashed: bool


def rate(simulation: Simulation) -> tuple[Rated, ...]:
    """The best, the worst and a middle one of the trajectories from now on that differ; fewer where fewer do. The
    simulation stays as it is."""
    tried = [_try(simulation.twin(), variant) for variant in VARIANTS.values()]
    far = tried[list(VARIANTS).index(_EXPERT)].driven
    found: list[Rated] = []
    for rated in sorted((Rated(one.points, grade(one, far)) for one in tried), key=lambda rated: -rated.score):
        apart = [np.linalg.norm(rated.points - other.points, axis=1).mean() for other in found]
        if min(apart, default=math.inf) > _APART:
            found.append(rated)
    chosen = sorted({0, len(found) // 2, len(found) - 1})
    return tuple(found[place] for place in chosen)


def grade(tried: Tried, far: float) -> float:
    """The score, 0 to 10.

    Args:
        far: metres that the expert drives.
    """
    if tried.crashed:
        return 0.0
    lost = _OFF_CLOSE * _share(_CLOSE - tried.closest, _CLOSE) + _OFF_HARD * _share(
        tried.hardest - _HARD, _HARDEST - _HARD
    )
    lost += _OFF_IGNORED * tried.ignored + _OFF_SLOW * _share(far - tried.driven, far)
    return float(max(10.0 - lost, 0.0))


def _share(value: float, most: float) -> float:
    return min(max(value / most, 0.0), 1.0) if most > 0 else 0.0


def _try(simulation: Simulation, variant: Variant) -> Tried:
    """Play a variant for five seconds; from a crash, or the end of the route, on the car stands."""
    act, cars = expert(simulation), [copy.copy(simulation.ego)]
    closest, ignored, crashed, ended = gap(simulation.ego, simulation.traffic), False, False, False
    for step in range(AFTER):
        ego = simulation.ego
        if not crashed:
            action = variant(act(), ego.speed, step / FRAMES_PER_SECOND)
            action = (0.0, 0.0, 1.0) if ended else action
            ignored |= bool(simulation.trip.hazard) and action[2] < _BRAKES and ego.speed > _MOVES
            _, terminated, _, info = simulation.advance(np.array(action, np.float32))
            ended |= terminated
            crashed = info.get("failure", "").startswith(("hit", "left"))
            closest = min(closest, gap(ego, simulation.traffic))
        else:
            ego.speed = 0.0
        cars.append(copy.copy(ego))
    track = Track(cars)
    velocity = track.speeds[:, None] * np.stack([np.cos(track.yaws), np.sin(track.yaws)], axis=1)
    hardest = float(np.linalg.norm(np.diff(velocity, axis=0), axis=1).max() * FRAMES_PER_SECOND)
    driven = float(np.linalg.norm(np.diff(track.places, axis=0), axis=1).sum())
    return Tried(track.future(0), driven, closest, hardest, ignored, crashed)
