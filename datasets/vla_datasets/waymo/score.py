"""Score predictions on a set of frames: a baseline's, or those of a file.

Not here: what the numbers mean (`metrics.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError
from vla_datasets.waymo.frame import FARTHEST, Frame
from vla_datasets.waymo.metrics import displacement, initial_speed, padded_raters, rater_feedback_score
from vla_datasets.waymo.names import FUTURE
from vla_isa.documents import read_json

__all__ = ["Motion", "Scores", "motion_of", "read_predictions", "score"]

Doubles = npt.NDArray[np.float64]
_MOST_BYTES = 2**29  # of a file of predictions


@dataclass(frozen=True)
class Motion:
    """Of N frames what scores are made of, without pictures.

    Attributes:
        names: of the frames.
        past: (N, 16, 6).
        future: (N, 20, 2); not a number where it is hidden.
        trajectories: (N, 3, 20, 2) of the raters.
        scores: (N, 3) of them, -1 where nobody rated.
    """

    names: Sequence[str]
    past: Doubles
    future: Doubles
    trajectories: Doubles
    scores: Doubles


@dataclass(frozen=True)
class Scores:
    """Means over the frames that have what is needed; None where none has.

    Attributes:
        driven: frames whose future is known.
        ade_3s, ade_5s: metres from where the car was.
        rated: frames that were rated.
        rfs: Rater Feedback Score, 0 to 10.
        rated_ade_3s, rated_ade_5s: metres from the trajectory with the highest score, as the challenge has them.
    """

    driven: int
    ade_3s: float | None
    ade_5s: float | None
    rated: int
    rfs: float | None
    rated_ade_3s: float | None
    rated_ade_5s: float | None


def motion_of(frames: Iterable[Frame]) -> Motion:
    """The states of frames, one or more; they are read one after another and their pictures not kept."""
    hidden = np.full((FUTURE, 2), np.nan)
    names, past, future, raters = [], [], [], []
    for frame in frames:
        names.append(frame.name)
        past.append(frame.past)
        future.append(hidden if frame.future is None else frame.future)
        raters.append(padded_raters([r.points for r in frame.rated], [r.score for r in frame.rated]))
    trajectories, scores = zip(*raters, strict=True)
    return Motion(
        names, np.array(past, np.float64), np.array(future, np.float64), np.array(trajectories), np.array(scores)
    )


def score(motion: Motion, predicted: npt.ArrayLike) -> Scores:
    """The scores of predictions (N, 20, 2)."""
    points = np.asarray(predicted, np.float64)
    driven = np.isfinite(motion.future).all(axis=(1, 2))
    rated = motion.scores[:, 0] >= 0
    best = np.take_along_axis(motion.trajectories, motion.scores.argmax(axis=1)[:, None, None, None], axis=1)[:, 0]
    feedback = rater_feedback_score(
        points[rated], motion.trajectories[rated], motion.scores[rated], initial_speed(motion.past[rated])
    )
    return Scores(
        int(driven.sum()),
        _mean(displacement(points[driven], motion.future[driven], 3)),
        _mean(displacement(points[driven], motion.future[driven], 5)),
        int(rated.sum()),
        _mean(feedback),
        _mean(displacement(points[rated], best[rated], 3)),
        _mean(displacement(points[rated], best[rated], 5)),
    )


def _mean(values: Doubles) -> float | None:
    return float(values.mean()) if len(values) else None


def read_predictions(path: Path, names: Sequence[str]) -> Doubles:
    """Predictions (N, 20, 2) of the named frames out of a JSON file: an object of frame name -> 20 pairs of numbers.

    Raises:
        DatasetError: it cannot be read, lacks a frame, or a prediction is of another form.
    """
    try:
        if (size := path.stat().st_size) > _MOST_BYTES:
            raise DatasetError(f"{path} has {size:,} bytes; at most {_MOST_BYTES:,} are read. Cut the set up.")
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {error}.") from error
    if not isinstance(found, dict):
        raise DatasetError(f"{path} is no object of frame names and predictions.")
    if missing := [name for name in names if name not in found]:
        raise DatasetError(f"{path} has no prediction of {len(missing)} of {len(names)} frames, such as {missing[0]}.")
    return np.array([_points(path, name, found[name]) for name in names])


def _points(path: Path, name: str, value: Any) -> Doubles:
    try:
        points = np.array(value)
    except ValueError as error:
        raise DatasetError(f"{path}: the prediction of {name} holds what is no number: {error}.") from error
    if points.dtype.kind not in "fiu":  # text such as "1" would become numbers
        raise DatasetError(f"{path}: the prediction of {name} holds what is no number.")
    points = points.astype(np.float64)
    if points.shape != (FUTURE, 2):
        raise DatasetError(f"{path}: the prediction of {name} is {points.shape}; it must be {FUTURE} pairs of numbers.")
    if not (near := np.abs(points) <= FARTHEST).all():
        raise DatasetError(
            f"{path}: the prediction of {name} has {points[~near][0]:g}; all must be metres up to {FARTHEST:g}."
        )
    return points
