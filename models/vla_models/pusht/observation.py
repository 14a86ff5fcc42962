"""From places in the plane to the features of keypoint policies, with numpy, for training and robot alike.

A network's inputs are 8 bits wide on the device: a plane of 512 px would have steps of 4 px. So each place also comes
as sine and cosine of shorter periods (Fourier features, Tancik et al. 2020, arXiv 2006.10739), whose steps are finer.
The pusher's place is from the plane's middle; all others are from the pusher.

What was done before is not seen: a policy that sees its last action repeats it where it should look (`README.md` of
`mlp_policy` has the figures).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vla_models.pusht.names import CORNERS_INPUT, MIDDLE, PLACE_UNIT, STATE_INPUT

__all__ = ["Places", "corner_rows", "corner_tokens", "features", "flat_row", "state_row", "token_inputs", "wave_count"]

Floats = npt.NDArray[np.float32]


class Places(NamedTuple):
    """What is seen, in px.

    Attributes:
        pusher: (N, 2).
        keypoints: (N, 16).
        goal: (N, 16).
    """

    pusher: Floats
    keypoints: Floats
    goal: Floats


def wave_count(periods: Sequence[float]) -> int:
    """How many features a coordinate has."""
    return 1 + 2 * len(periods)


def features(px: Floats, periods: Sequence[float]) -> Floats:
    """Of coordinates (..., C) in px: (..., C * `wave_count`), first all as they are."""
    waves = [f(px * np.float32(2 * np.pi / period)) for period in periods for f in (np.sin, np.cos)]
    return np.concatenate([px / np.float32(PLACE_UNIT), *waves], axis=-1).astype(np.float32)


def state_row(pusher: Floats, periods: Sequence[float]) -> Floats:
    """Pushers (N, 2): (N, 2 * `wave_count`)."""
    return features(_from_the_middle(pusher), periods)


def corner_tokens(places: Places, periods: Sequence[float]) -> Floats:
    """Where each corner is, and where it should be: (N, 8, 4 * `wave_count`)."""
    here, there = (corners.reshape(-1, 8, 2) for corners in _corners(places))
    return features(np.concatenate([here, there], axis=2), periods)


def corner_rows(places: Places, periods: Sequence[float]) -> Floats:
    """Each corner, and behind them each of the goal's: (N, 16, 2 * `wave_count`)."""
    rows = np.concatenate([corners.reshape(-1, 8, 2) for corners in _corners(places)], axis=1)
    return features(rows, periods)


def flat_row(places: Places, periods: Sequence[float]) -> Floats:
    """All of it as one row: (N, 34 * `wave_count`)."""
    return features(np.concatenate([_from_the_middle(places.pusher), *_corners(places)], axis=1), periods)


def token_inputs(periods: Sequence[float]) -> dict[str, Callable[[Places], Floats]]:
    """Inputs of a network over tokens, by name: what makes each of them of places."""
    return {
        CORNERS_INPUT: lambda places: corner_tokens(places, periods),
        STATE_INPUT: lambda places: state_row(places.pusher, periods),
    }


def _from_the_middle(pusher: Floats) -> Floats:
    return pusher - np.float32(MIDDLE)


def _corners(places: Places) -> tuple[Floats, Floats]:
    pusher = np.tile(places.pusher, 8)
    return places.keypoints - pusher, places.goal - pusher
