"""One frame of the set: from a record's bytes, with everything looked at, and back.

Not here: where the bytes are (`index.py`), pixels (`jpeg.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from vla_datasets.errors import DatasetError
from vla_datasets.waymo.messages import message_class
from vla_datasets.waymo.names import FUTURE, PAST, Camera, Intent

__all__ = ["FARTHEST", "Calibration", "Floats", "Frame", "Rated", "frame_bytes", "parse_frame"]

Floats = npt.NDArray[np.float32]
FARTHEST = 1e6  # m, m/s, m/s^2 or pixels: more is no car's
_PAST_FIELDS = ("pos_x", "pos_y", "vel_x", "vel_y", "accel_x", "accel_y")
_PLACE = ("pos_x", "pos_y")
_MOST_NAME, _MOST_POINTS = 200, 1000
_INTRINSIC, _EXTRINSIC = 9, 16
_PLACEHOLDER, _BEST = -1.0, 10.0  # scores: of a trajectory that nobody rated, and the highest


@dataclass(frozen=True)
class Rated:
    """A trajectory that a person gave a score of 0 to 10: points (n, 2) in metres, the first after 0.25 s."""

    points: Floats
    score: float


@dataclass(frozen=True)
class Calibration:
    """A camera: [f_u, f_v, c_u, c_v, k1, k2, p1, p2, k3] in pixels, its place on the car as a matrix (4, 4) from the
    camera's axes (x forward, y left, z up) to the car's, and its picture's size in pixels."""

    intrinsic: npt.NDArray[np.float64]
    extrinsic: npt.NDArray[np.float64]
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Frame:
    """What is known at one moment; metres in the car's axes of that moment, x forward, y left, from the rear axle.

    Attributes:
        name: `<segment>-<number>`, as a submission names it.
        images: JPEG by camera.
        past: (16, 6), position, velocity and acceleration (`names.STATES`) at 4 Hz up to now.
        future: (20, 2), where the car was in the following 5 s; None in a test set, which hides it.
        intent: where the route leads.
        rated: trajectories with scores; empty where nobody rated any.
        calibrations: of cameras that have one.
    """

    name: str
    images: Mapping[Camera, bytes]
    past: Floats
    future: Floats | None
    intent: Intent
    rated: Sequence[Rated] = ()
    calibrations: Mapping[Camera, Calibration] = field(default_factory=dict)


def parse_frame(payload: bytes, where: str) -> Frame:
    """The frame of a record's payload.

    Args:
        where: the beginning of messages.

    Raises:
        DatasetError: it is no frame, or a part of it is missing, or not what it must be.
    """
    message = message_class("E2EDFrame")()
    try:
        message.ParseFromString(payload)
    except DecodeError as error:
        raise DatasetError(f"{where} is no frame of Waymo's end-to-end set: {error}.") from error
    name = _name(message.frame.context.name, where)
    where = f"{where}, frame {name}"
    if message.intent not in list(Intent):
        raise DatasetError(f"{where}: its intent is {message.intent}; there are 0 to {max(Intent):d}.")
    future = message.future_states
    return Frame(
        name,
        {camera: image.image for camera, image in _by_camera(message.frame.images, f"{where}: image").items()},
        _states(message.past_states, _PAST_FIELDS, PAST, f"{where}: past_states"),
        _states(future, _PLACE, FUTURE, f"{where}: future_states") if len(future.pos_x) else None,
        Intent(message.intent),
        _rated(message.preference_trajectories, where),
        _calibrations(message.frame.context.camera_calibrations, where),
    )


def _name(found: bytes, where: str) -> str:
    try:
        name = found.decode()
    except UnicodeDecodeError as error:
        raise DatasetError(f"{where}: its name is no text: {error}.") from error
    if not 0 < len(name) <= _MOST_NAME or not name.isprintable():
        raise DatasetError(f"{where}: its name is {name[:40]!r}; it must be 1 to {_MOST_NAME} printable characters.")
    return name


def _by_camera(messages: Any, where: str) -> dict[Camera, Any]:
    """Messages by the camera they name, in whichever order they are."""
    found: dict[Camera, Any] = {}
    for position, message in enumerate(messages):
        if message.name not in list(Camera):
            raise DatasetError(f"{where} {position} is of camera {message.name}; there are 1 to {max(Camera):d}.")
        if Camera(message.name) in found:
            raise DatasetError(f"{where} {position} is another one of camera {Camera(message.name).key}.")
        found[Camera(message.name)] = message
    return found


def _states(message: Any, fields: Sequence[str], count: int, where: str) -> Floats:
    """Fields of so many states, (count, fields)."""
    for name in fields:
        if (found := len(getattr(message, name))) != count:
            raise DatasetError(f"{where} has {found} values of {name}; it must be {count}.")
    values = np.array([getattr(message, name) for name in fields], np.float32).T
    _check_numbers(values, where)
    return values


def _check_numbers(values: npt.NDArray[Any], where: str) -> None:
    if not np.isfinite(values).all():
        raise DatasetError(f"{where} has a value that is no finite number.")
    if (largest := np.abs(values).max(initial=0)) > FARTHEST:  # one of them would be the mean of all frames
        raise DatasetError(f"{where} has a value of {largest:g}; it must be up to {FARTHEST:g}.")


def _rated(messages: Any, where: str) -> tuple[Rated, ...]:
    """Those with a score; Waymo's files have placeholders with -1 where nobody rated."""
    found = []
    for position, message in enumerate(messages):
        at = f"{where}: preference_trajectories {position}"
        score = message.preference_score
        if not message.HasField("preference_score") or score == _PLACEHOLDER:
            continue
        if not 0 <= score <= _BEST:  # not a number is neither
            raise DatasetError(f"{at} has the score {score:g}; it must be 0 to {_BEST:g}, or -1 where it has none.")
        count = len(message.pos_x)
        if not 1 <= count <= _MOST_POINTS:
            raise DatasetError(f"{at} has {count:,} points; it must be 1 to {_MOST_POINTS:,}.")
        found.append(Rated(_states(message, _PLACE, count, at), score))
    return tuple(found)


def _calibrations(messages: Any, where: str) -> dict[Camera, Calibration]:
    found = {}
    for camera, message in _by_camera(messages, f"{where}: camera_calibrations").items():
        at = f"{where}: the calibration of camera {camera.key}"
        counts = len(message.intrinsic), len(message.extrinsic.transform)
        if counts != (_INTRINSIC, _EXTRINSIC):
            raise DatasetError(f"{at} has {counts} numbers; it must be {(_INTRINSIC, _EXTRINSIC)}.")
        intrinsic = np.array(message.intrinsic)
        extrinsic = np.array(message.extrinsic.transform).reshape(4, 4)
        _check_numbers(np.append(intrinsic, extrinsic), at)
        found[camera] = Calibration(intrinsic, extrinsic, message.width, message.height)
    return found


def frame_bytes(frame: Frame) -> bytes:
    """The payload of a frame's record."""
    message = message_class("E2EDFrame")(intent=frame.intent)
    here = np.eye(4).ravel()  # Waymo's places are in the car's axes already
    message.frame.context.name = frame.name.encode()
    message.frame.pose.transform.extend(here)
    for camera, jpeg in frame.images.items():
        message.frame.images.add(name=camera, image=jpeg).pose.transform.extend(here)
    for camera, calibration in frame.calibrations.items():
        stored = message.frame.context.camera_calibrations.add(
            name=camera, width=calibration.width, height=calibration.height, intrinsic=calibration.intrinsic
        )
        stored.extrinsic.transform.extend(calibration.extrinsic.ravel())
    _set(message.past_states, _PAST_FIELDS, frame.past)
    if frame.future is not None:
        _set(message.future_states, (*_PLACE, "pos_z"), np.pad(frame.future, ((0, 0), (0, 1))))
    for rated in frame.rated:
        _set(message.preference_trajectories.add(preference_score=rated.score), _PLACE, rated.points)
    payload: bytes = message.SerializeToString(deterministic=True)
    return payload


def _set(message: Any, fields: Sequence[str], values: Floats) -> None:
    for name, column in zip(fields, values.T, strict=True):
        getattr(message, name).extend(column.tolist())
