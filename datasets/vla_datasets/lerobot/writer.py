"""Write a LeRobotDataset v3.0 from episodes in order; meta/info.json comes last and completes the set."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from vla_datasets.errors import DatasetError
from vla_datasets.files import write_json, write_table
from vla_datasets.lerobot.format import (
    BOOKKEEPING,
    DATA_PATH,
    EPISODES_PATH,
    FILES_PER_CHUNK,
    INFO_PATH,
    STATS_PATH,
    TASKS_PATH,
    DatasetInfo,
    Feature,
    data_schema,
    episodes_schema,
    tasks_schema,
)
from vla_datasets.lerobot.statistics import ImageStatistics, value_statistics
from vla_isa.documents import is_text

__all__ = ["Episode", "write_dataset"]


@dataclass(frozen=True)
class Episode:
    """One episode: environment seed, task in words, one list per declared feature (images as PNG)."""

    seed: int
    task: str
    columns: Mapping[str, list[Any]]

    @property
    def length(self) -> int:
        """Number of frames."""
        return len(next(iter(self.columns.values())))


def write_dataset(
    root: Path,
    blocks: Iterable[list[Episode]],
    features: Mapping[str, Feature],
    fps: int,
    robot_type: str,
    splits: Mapping[str, tuple[int, int]],
    collection: Mapping[str, Any],
) -> DatasetInfo:
    """Write all files; each block of episodes becomes one data file and one episodes file.

    Args:
        root: folder to write into.
        blocks: episodes in their final order.
        features: declared features plus `BOOKKEEPING`; images are (height, width, channels).
        fps: frames per second, for timestamps.
        robot_type: free text for info.json.
        splits: name to episode range.
        collection: how the set was made; stored in info.json.
    """
    tasks: dict[str, int] = {}
    totals = _Totals(features)
    for number, block in enumerate(blocks):
        place = {"chunk_index": number // FILES_PER_CHUNK, "file_index": number % FILES_PER_CHUNK}
        frames, episodes = _rows(block, features, fps, tasks, totals, place)
        write_table(root / DATA_PATH.format(**place), pa.table(frames, schema=data_schema(features)))
        table = pa.Table.from_pylist(episodes, schema=episodes_schema())
        write_table(root / EPISODES_PATH.format(**place), table)
    task_columns = {"task_index": list(tasks.values()), "task": list(tasks)}
    write_table(root / TASKS_PATH, pa.table(task_columns, schema=tasks_schema()))
    write_json(root / STATS_PATH, totals.to_json())
    info = DatasetInfo(
        fps=fps,
        features=features,
        total_episodes=totals.episodes,
        total_frames=totals.frames,
        total_tasks=len(tasks),
        splits=splits,
        robot_type=robot_type,
        collection=collection,
    )
    write_json(root / INFO_PATH, info.to_json())
    return info


class _Totals:
    """Running counts and statistics over all blocks."""

    def __init__(self, features: Mapping[str, Feature]) -> None:
        self.episodes = 0
        self.frames = 0
        images = {name: feature for name, feature in features.items() if feature.dtype == "image"}
        self._shapes = {name: feature.shape for name, feature in images.items()}
        self._images = {name: ImageStatistics(feature.shape[2]) for name, feature in images.items()}
        self._values: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in features if name not in images}

    def add(self, columns: Mapping[str, Any]) -> None:
        """Count one episode; its values are arrays of (frames, *shape), its images PNG.

        Raises:
            DatasetError: an image is none, or of another shape.
        """
        for name, statistics in self._images.items():
            for png in columns[name]:
                statistics.add(_pixels(name, png, self._shapes[name]))
        for name, values in self._values.items():
            values.append(columns[name])

    def to_json(self) -> dict[str, Any]:
        images = {name: statistics.to_json() for name, statistics in self._images.items()}
        return images | {name: value_statistics(np.concatenate(v)) for name, v in self._values.items()}


def _pixels(name: str, png: bytes, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            pixels = np.asarray(image)
    except Exception as error:  # pillow raises errors of many classes
        raise DatasetError(f"'{name}' has an image that is no PNG: {error}.") from error
    if pixels.dtype != np.uint8 or pixels.shape != shape:
        found = f"{pixels.dtype} {list(pixels.shape)}"
        raise DatasetError(f"'{name}' has an image of {found}; the feature is uint8 {list(shape)}.")
    return pixels


def _stored(name: str, feature: Feature, values: Sequence[Any], length: int) -> Any:
    """The values of one episode as they are stored: an array of (frames, *shape) in the feature's dtype; PNG as given.

    Raises:
        DatasetError: there is not one value of the feature's shape for each frame, or one is no finite number.
    """
    if feature.dtype == "image":
        if len(values) != length:
            raise DatasetError(f"'{name}' has {len(values)} images in an episode of {length} frames.")
        return values
    try:
        array = np.asarray(values, feature.dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise DatasetError(f"'{name}' is no array of {feature.dtype}: {error}.") from error
    if array.shape == (length,) and feature.shape == (1,):
        array = array[:, None]
    if array.shape != (length, *feature.shape):
        raise DatasetError(
            f"'{name}' has values of shape {list(array.shape)} in an episode of {length} frames; "
            f"{list(feature.shape)} for each frame makes {[length, *feature.shape]}."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DatasetError(f"'{name}' has a value that is no finite number.")
    return array


def _rows(
    block: list[Episode],
    features: Mapping[str, Feature],
    fps: int,
    tasks: dict[str, int],
    totals: _Totals,
    place: Mapping[str, int],
) -> tuple[dict[str, list[Any]], list[dict[str, Any]]]:
    """Columns of one data file and rows of its episodes file; `tasks` and `totals` go on growing."""
    frames: dict[str, list[Any]] = {name: [] for name in features}
    episodes: list[dict[str, Any]] = []
    for episode in block:
        length = episode.length
        if not is_text(episode.task):
            raise DatasetError(f"the task {episode.task!a:.80} is no text: it has what UTF-8 has not.")
        columns = {
            **episode.columns,
            "timestamp": [index / fps for index in range(length)],
            "frame_index": list(range(length)),
            "episode_index": [totals.episodes] * length,
            "index": list(range(totals.frames, totals.frames + length)),
            "task_index": [tasks.setdefault(episode.task, len(tasks))] * length,
        }
        assert columns.keys() == features.keys() | BOOKKEEPING.keys()
        stored = {name: _stored(name, feature, columns[name], length) for name, feature in features.items()}
        totals.add(stored)
        for name, feature in features.items():
            values = stored[name]
            if feature.dtype == "image":
                frames[name].extend({"bytes": png, "path": None} for png in values)
            else:
                frames[name].extend((values[:, 0] if feature.shape == (1,) else values).tolist())
        episodes.append(
            {
                "episode_index": totals.episodes,
                "tasks": [episode.task],
                "length": length,
                "dataset_from_index": totals.frames,
                "dataset_to_index": totals.frames + length,
                **{f"data/{key}": value for key, value in place.items()},
                **{f"meta/episodes/{key}": value for key, value in place.items()},
                "seed": episode.seed,
            }
        )
        totals.episodes += 1
        totals.frames += length
    return frames, episodes
