"""How good predicted waypoints are: mean displacement, and Waymo's Rater Feedback Score (RFS).

Points are at 4 Hz, the first after 0.25 s, in metres of the car's axes at the moment of prediction, x forward, y left.
Source of the score: WOD-E2E (arXiv:2510.26125), section 4, and waymo-open-dataset,
`metrics/python/rater_feedback_utils.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vla_datasets.waymo.names import FUTURE, HERTZ

__all__ = ["NOT_RATED", "RATERS", "displacement", "initial_speed", "padded_raters", "rater_feedback_score"]

Doubles = npt.NDArray[np.float64]
RATERS = 3  # trajectories of a frame that count
NOT_RATED = -1.0  # score of a trajectory that nobody rated
_SECONDS = (3, 5)  # when a prediction is looked at
_ACROSS, _ALONG = np.array([1.0, 1.8]), np.array([4.0, 7.2])  # m at these seconds: half the sides of a trust region
_SLOW, _FAST, _SMALLEST = 1.4, 11.0, 0.5  # m/s between which the region grows from this share of its size to all of it
_DECAY, _FLOOR = 0.1, 4.0  # per half side beyond the region; the least that a prediction outside of all regions gets


def displacement(predicted: npt.ArrayLike, wanted: npt.ArrayLike, seconds: int) -> Doubles:
    """ADE: the mean distance (N,) in metres of the points of the first `seconds`, of (N, 20, 2) and (N, 20, 2)."""
    points = HERTZ * seconds
    away = _trajectories(predicted)[:, :points] - _trajectories(wanted)[:, :points]
    found: Doubles = np.linalg.norm(away, axis=-1).mean(axis=-1)
    return found


def initial_speed(past: npt.ArrayLike) -> Doubles:
    """Speeds (N,) in m/s at the moment of prediction, of past states (N, 16, 6)."""
    found: Doubles = np.linalg.norm(np.asarray(past, np.float64)[:, -1, 2:4], axis=-1)
    return found


def padded_raters(trajectories: Sequence[npt.ArrayLike], scores: Sequence[float]) -> tuple[Doubles, Doubles]:
    """The rated trajectories of one frame as (3, 20, 2), and their scores (3,).

    Of more than three the first count; the last one is repeated where there are fewer. Of more than 20 points the
    first count; the last one is repeated where there are fewer. Where nobody rated, scores are -1.

    Args:
        trajectories: up to any number, of (n, 2) each, n of 1 or more.
        scores: of each, 0 to 10.
    """
    if not len(trajectories):
        return np.zeros((RATERS, FUTURE, 2)), np.full(RATERS, NOT_RATED)
    raters = np.minimum(np.arange(RATERS), len(trajectories) - 1)
    found = []
    for rater in raters:
        points = np.asarray(trajectories[rater], np.float64)
        found.append(points[np.minimum(np.arange(FUTURE), len(points) - 1)])
    return np.stack(found), np.asarray(scores, np.float64)[raters]


def rater_feedback_score(
    predicted: npt.ArrayLike, trajectories: npt.ArrayLike, scores: npt.ArrayLike, speeds: npt.ArrayLike
) -> Doubles:
    """RFS (N,), 0 to 10: the score of the rated trajectory that a prediction is nearest to, less what it is off.

    Around where each rated trajectory is after 3 and 5 s lies a region along its direction, larger at higher speed. In
    it a prediction has that rater's score; outside, a tenth of it for each half side that it is beyond. At each time
    the best rater counts, and the two times' mean is the score; at least 4 where no rater's regions hold both points.

    Args:
        predicted: (N, 20, 2).
        trajectories: (N, 3, 20, 2), rated; see `padded_raters`.
        scores: (N, 3), 0 to 10.
        speeds: (N,) in m/s; see `initial_speed`.
    """
    rated = np.asarray(trajectories, np.float64)
    given = np.asarray(scores, np.float64)
    at = [HERTZ * seconds - 1 for seconds in _SECONDS]
    ahead = _directions(rated)[:, :, at]  # (N, 3, 2, 2)
    away = _trajectories(predicted)[:, None, at] - rated[:, :, at]
    along = np.abs((ahead * away).sum(axis=-1))
    across = np.abs(ahead[..., 0] * away[..., 1] - ahead[..., 1] * away[..., 0])
    size = _SMALLEST + (1 - _SMALLEST) * (np.asarray(speeds, np.float64) - _SLOW) / (_FAST - _SLOW)
    size = np.clip(size, _SMALLEST, 1.0)[:, None, None]
    off = np.maximum(along / (size * _ALONG), across / (size * _ACROSS))  # (N, 3, 2), 1 at the region's edge
    each = given[..., None] * _DECAY ** np.maximum(off - 1.0, 0.0)
    found: Doubles = each.max(axis=1).mean(axis=-1)
    inside = (off <= 1.0).all(axis=-1).any(axis=-1)
    return np.where(inside, found, np.maximum(found, _FLOOR))


def _directions(rated: Doubles) -> Doubles:
    """The unit vector of each step (N, 3, 20, 2) from the origin on; a step of no length has the one before it, and the
    first one the car's own."""
    steps = np.diff(rated, axis=-2, prepend=0.0)
    length = np.linalg.norm(steps, axis=-1)
    own = np.broadcast_to((1.0, 0.0), steps[..., :1, :].shape)
    units = np.concatenate([own, steps / np.where(length > 0, length, 1.0)[..., None]], axis=-2)
    last = np.maximum.accumulate(np.where(length > 0, np.arange(1, FUTURE + 1), 0), axis=-1)
    return np.take_along_axis(units, last[..., None], axis=-2)


def _trajectories(points: npt.ArrayLike) -> Doubles:
    found = np.asarray(points, np.float64)
    if found.ndim != 3 or found.shape[1:] != (FUTURE, 2):
        raise ValueError(f"trajectories are {found.shape}, not (N, {FUTURE}, 2)")
    return found
