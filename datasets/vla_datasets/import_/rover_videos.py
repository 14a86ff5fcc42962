"""Somebody's videos of a rover with telemetry and labels, as a set of the rover's.

    samples.json            [{"id", "risk_label", "reason_label", "action_label", "weight" (1)}, ...]; labels in words
    <id>/training.mp4       its video, of any length and size
    <id>/telemetry.npy      (8,), or (T, 8) over the video

SIM v0's list of samples is a pickle, which is not read: it can hold any program. A sample becomes a run of eight
frames, spread evenly over the video; of a shorter one the last frame is repeated. Its label is of the last frame, the
only one that weighs anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vla_datasets.errors import DatasetError
from vla_datasets.import_.prepared import Prepared
from vla_datasets.import_.recording import check_lengths, library
from vla_datasets.import_.video import opened_video, upright
from vla_datasets.keys import ACTION
from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.lerobot.png import encode_png
from vla_datasets.lerobot.writer import Episode
from vla_datasets.worlds.rover.names import IMAGE, SAID, SIZE, TELEMETRY, TELEMETRY_NAMES, WEIGHT
from vla_datasets.worlds.rover.schema import FRAMES_PER_SECOND, SCHEMA
from vla_isa.documents import read_json

__all__ = ["FRAMES", "is_rover_videos", "prepare_rover_videos"]

FRAMES = 8
_LIST, _PICKLE, _VIDEO, _TELEMETRY = "samples.json", "samples.pkl", "training.mp4", "telemetry.npy"
_TASK = "say what is risky and what to do"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
_MOST_FRAMES, _MOST_SIDE, _MOST_READINGS = 3600, 8192, 1_000_000  # of a video, its pictures, and a telemetry


def is_rover_videos(folder: Path) -> bool:
    """Whether a folder has a list of samples."""
    return (folder / _LIST).is_file() or (folder / _PICKLE).is_file()


def prepare_rover_videos(folder: Path, size: tuple[int, int] | None) -> Prepared:
    """Look at the list; videos are read as they are written.

    Args:
        size: (width, height) of the set's pictures; None: the world's.

    Raises:
        DatasetError: the list is missing or damaged.
        CollectError: PyAV is not installed.
    """
    if not (folder / _LIST).is_file():
        raise DatasetError(
            f"{folder} has {_PICKLE} alone, a pickle, which is not read: it can hold any program. Write it as {_LIST}."
        )
    samples = _samples(folder / _LIST)
    check_lengths(folder, [FRAMES] * len(samples))
    library("av", "a video")
    width, height = size or (SIZE, SIZE)
    picture = Feature("image", (height, width, 3), ("height", "width", "channels"))
    features = {IMAGE: picture, **{key: SCHEMA.features[key] for key in (TELEMETRY, WEIGHT, ACTION)}, **BOOKKEEPING}

    def episodes() -> Iterator[Episode]:
        for number, sample in enumerate(samples):
            yield _episode(folder, number, sample, (width, height))

    return Prepared("rover videos", "rover", {}, features, FRAMES_PER_SECOND, len(samples), episodes())


def _samples(path: Path) -> list[dict[str, Any]]:
    try:
        said = read_json(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {error}.") from error
    if not isinstance(said, list) or not all(isinstance(one, dict) for one in said):
        raise DatasetError(f"{path} must be a list of samples, each with an id and labels.")
    found: list[dict[str, Any]] = []
    for number, one in enumerate(said):
        where = f"{path}: sample {number}"
        name, weight = one.get("id"), one.get("weight", 1.0)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise DatasetError(f"{where} has the id {name!r}; it must be the name of its folder.")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= 1:
            raise DatasetError(f"{where} ('{name}') has the weight {weight!r}; it must be a number from 0 to 1.")
        labels = []
        for word, words in SAID.items():
            label = one.get(f"{word}_label")
            if label not in words:
                raise DatasetError(
                    f"{where} ('{name}') has the {word}_label {label!r}; it must be one of {', '.join(words)}."
                )
            labels.append(words.index(label))
        found.append({"id": name, "weight": float(weight), "labels": labels})
    if len({one["id"] for one in found}) < len(found):
        raise DatasetError(f"{path} names a sample twice.")
    return found


def _episode(folder: Path, number: int, sample: dict[str, Any], size: tuple[int, int]) -> Episode:
    pictures = _pictures(folder / sample["id"] / _VIDEO, size)
    telemetry = _telemetry(folder / sample["id"] / _TELEMETRY)
    columns: dict[str, list[Any]] = {
        IMAGE: [encode_png(picture) for picture in pictures],
        TELEMETRY: [telemetry[place].tolist() for place in _spread(np.arange(len(telemetry)))],
        WEIGHT: [0.0] * (FRAMES - 1) + [sample["weight"]],
        ACTION: [list(sample["labels"]) for _ in range(FRAMES)],
    }
    return Episode(number, _TASK, columns)


def _spread(moments: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Which of so many moments (N,), in order, the frames are: those nearest to evenly spread ones from the first to
    the last; of few all, and the last again."""
    times = np.asarray(moments, np.float64)
    if len(times) < FRAMES:
        return np.minimum(np.arange(FRAMES), len(times) - 1)
    wanted = np.linspace(times[0], times[-1], FRAMES)
    nearest: npt.NDArray[np.int64] = np.abs(times - wanted[:, None]).argmin(axis=1)
    return nearest


def _pictures(path: Path, size: tuple[int, int]) -> list[npt.NDArray[np.uint8]]:
    """The run's frames of a video, each of (height, width, 3). Its pictures may be of uneven duration."""
    with opened_video(path, "a video") as file:
        stream = file.streams.video[0]
        packets = [(p.pts, p.is_corrupt) for p in file.demux(stream) if p.pts is not None and not p.is_discard]
        if any(corrupt for _, corrupt in packets):
            raise DatasetError(f"{path} is cut off. Get the file again.")
        moments = sorted(int(moment) for moment, _ in packets)
        if not moments:
            raise DatasetError(f"{path} holds no video.")
        if len(moments) > _MOST_FRAMES:
            raise DatasetError(f"{path} has {len(moments)} pictures; at most {_MOST_FRAMES} are read.")
        wanted = [moments[place] for place in _spread(moments)]
        file.seek(0)
        found = {}
        for frame in file.decode(stream):
            if max(frame.width, frame.height) > _MOST_SIDE:
                found_size = f"{frame.width} x {frame.height}"
                raise DatasetError(f"{path} has pictures of {found_size}; at most {_MOST_SIDE} px a side are read.")
            if frame.pts in wanted:
                picture = Image.fromarray(upright(path, frame)).resize(size, Image.Resampling.BOX)
                found[frame.pts] = np.asarray(picture)
        if missing := set(wanted) - set(found):
            raise DatasetError(f"{path} has no picture at {float(min(missing) * stream.time_base):.2f} s, as it says.")
    return [found[moment] for moment in wanted]


def _telemetry(path: Path) -> npt.NDArray[np.float32]:
    """(T, 8), finite."""
    values = len(TELEMETRY_NAMES)
    try:
        stored = np.lib.format.open_memmap(path, mode="r")  # refuses a file that is shorter than it says, and objects
    except Exception as error:  # whatever the header is
        raise DatasetError(f"{path} cannot be read: {error}.") from error
    fits = stored.dtype.kind in "fiu" and stored.ndim in (1, 2) and stored.shape[-1] == values
    if not fits or not 1 <= stored.size <= values * _MOST_READINGS:
        raise DatasetError(
            f"{path} is {stored.dtype} {stored.shape}; it must be ({values},) or (T, {values}), of numbers."
        )
    with np.errstate(over="ignore"):  # what float32 does not hold is refused below
        found = np.array(stored, np.float32).reshape(-1, values)
    if not np.isfinite(found).all():
        raise DatasetError(f"{path} has values that are no finite numbers.")
    return found
