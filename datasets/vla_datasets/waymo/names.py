"""Cameras, intents and times of Waymo's end-to-end driving set, by the numbers of its messages.

Source: waymo-open-dataset, `dataset.proto` (CameraName) and `protos/end_to_end_driving_data.proto` (EgoIntent).
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError

__all__ = [
    "FRAME_NUMBER",
    "FUTURE",
    "HERTZ",
    "INTENT",
    "PAST",
    "RATED",
    "SCORES",
    "STATES",
    "Camera",
    "Intent",
    "cameras_called",
    "one_hot",
]

INTENT = "observation.intent"  # keys of a prepared set, beside `vla_datasets.keys`
RATED, SCORES = "rated.trajectories", "rated.scores"
FRAME_NUMBER = "frame_number"
HERTZ = 4  # states a second
PAST, FUTURE = 16, 20  # states in (-4 s, 0] and in (0, 5 s]
STATES = ("x", "y", "velocity_x", "velocity_y", "acceleration_x", "acceleration_y")  # m, m/s, m/s2; x forward, y left


class Camera(IntEnum):
    """Which camera a picture is of. Pictures are found by it: their order in a frame means nothing."""

    FRONT = 1
    FRONT_LEFT = 2
    FRONT_RIGHT = 3
    SIDE_LEFT = 4
    SIDE_RIGHT = 5
    REAR_LEFT = 6
    REAR = 7
    REAR_RIGHT = 8

    @property
    def key(self) -> str:
        """Its name in commands and in data sets."""
        return self.name.lower()


def cameras_called(text: str) -> tuple[Camera, ...]:
    """The cameras of a list such as "front,front_left"; "all" are all.

    Raises:
        DatasetError: there is no such camera, or one is there twice.
    """
    if text == "all":
        return tuple(Camera)
    known = {camera.key: camera for camera in Camera}
    names = text.split(",")
    for name in names:
        if name not in known:
            raise DatasetError(f"--cameras: there is no camera '{name}'; there are all, or {', '.join(known)}.")
        if names.count(name) > 1:
            raise DatasetError(f"--cameras: camera '{name}' is there twice.")
    return tuple(known[name] for name in names)


class Intent(IntEnum):
    """Where the route leads."""

    UNKNOWN = 0
    GO_STRAIGHT = 1
    GO_LEFT = 2
    GO_RIGHT = 3


def one_hot(intents: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Straight, left and right as 0 or 1, (..., 3), of intents (...); all three are 0 where it is unknown.

    Raises:
        ValueError: a number is no intent.
    """
    found = np.asarray(intents, np.int64)
    if not np.isin(found, list(Intent)).all():
        raise ValueError(f"intents are 0 to {max(Intent):d}, not {found.min()} to {found.max()}")
    hot: npt.NDArray[np.float32] = (found[..., np.newaxis] == np.arange(1, len(Intent))).astype(np.float32)
    return hot
