"""Predictions from the past states alone, without a picture: what a policy has to be better than."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from vla_datasets.waymo.names import FUTURE, HERTZ

__all__ = ["BASELINES", "constant_turn", "constant_velocity"]

Doubles = npt.NDArray[np.float64]
_TIMES = np.arange(1, FUTURE + 1) / HERTZ  # s
_STEPS = 4  # the last steps, of which the turn is taken
_MOVES = 0.1  # m of a step below which its direction says nothing


def constant_velocity(past: npt.ArrayLike) -> Doubles:
    """Straight on with the last velocity: (N, 20, 2) of past states (N, 16, 6)."""
    velocity = np.asarray(past, np.float64)[:, -1, 2:4]
    return velocity[:, None, :] * _TIMES[:, None]


def constant_turn(past: npt.ArrayLike) -> Doubles:
    """On a circle with the last speed: (N, 20, 2) of past states (N, 16, 6).

    The turn is that of the directions of the last second's steps; where one of them is short, none.
    """
    states = np.asarray(past, np.float64)
    steps = np.diff(states[:, -_STEPS - 1 :, :2], axis=1)
    headings = np.unwrap(np.arctan2(steps[..., 1], steps[..., 0]), axis=1)
    moves = (np.linalg.norm(steps, axis=-1) > _MOVES).all(axis=1)
    turn = np.where(moves, (headings[:, -1] - headings[:, 0]) * HERTZ / (_STEPS - 1), 0.0)  # rad/s, to the left
    half = turn[:, None] * _TIMES / 2
    chord = states[:, -1, 2, None] * _TIMES * np.sinc(half / np.pi)  # from here to there, straight
    return np.stack([chord * np.cos(half), chord * np.sin(half)], axis=-1)


BASELINES: Mapping[str, Callable[[npt.ArrayLike], Doubles]] = {
    "constant_velocity": constant_velocity,
    "constant_turn": constant_turn,
}
