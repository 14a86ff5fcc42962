"""Read a LeRobotDataset v3.0 that somebody else may have written: all is checked, nothing unpickled.

Images must be stored as PNG bytes in the parquet files; video features are refused with a reason.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from vla_datasets.errors import DatasetError
from vla_datasets.lerobot.format import (
    CODEBASE_VERSION,
    DATA_PATH,
    EPISODES_PATH,
    INFO_PATH,
    STATS_PATH,
    TASKS_PATH,
    Feature,
)
from vla_datasets.lerobot.png import decode_png
from vla_isa.documents import read_json

__all__ = ["Dataset", "EpisodeFrames", "check_statistics", "dataset_digest", "open_dataset", "read_statistics"]

_MAX_INFO_BYTES = 10_000_000
_ROUNDED = 1e-6  # of the values: what a mean may be off by
_SPLIT = re.compile(r"(\d{1,12}):(\d{1,12})")


@dataclass(frozen=True)
class EpisodeFrames:
    """One episode as arrays with one entry per frame; images are PNG bytes, decoded by `Dataset.decode`."""

    episode_index: int
    task: str
    columns: Mapping[str, Any]


@dataclass(frozen=True)
class Dataset:
    """An opened data set: its description is checked, its frames are read (and checked) on demand."""

    root: Path
    info: Mapping[str, Any]
    splits: Mapping[str, tuple[int, int]]
    tasks: Mapping[int, str]
    episodes: tuple[Mapping[str, Any], ...]

    def split(self, name: str) -> range:
        """Episode numbers of a split.

        Raises:
            DatasetError: no such split.
        """
        if name not in self.splits:
            raise DatasetError(f"{self.root}: no split '{name}'; it has {', '.join(self.splits) or 'none'}.")
        return range(*self.splits[name])

    def seeds(self) -> list[int]:
        """The world's seed of each episode, which sets of this project's collectors have.

        Raises:
            DatasetError: this one has none.
        """
        found: list[int] = []
        for path in _episodes_files(self.root):
            found.extend(_table(path, {"seed": pa.int64()})["seed"].to_pylist())
        return found

    def feature(self, name: str) -> Feature:
        """A column's feature, as info.json declares it.

        Raises:
            DatasetError: there is none of this name, or it is no feature that is read.
        """
        declared = self.info["features"].get(name)
        if not isinstance(declared, dict):
            raise DatasetError(f"{self.root}: no feature '{name}'; it has {', '.join(self.info['features'])}.")
        dtype, shape = declared.get("dtype"), declared.get("shape")
        if not (isinstance(dtype, str) and isinstance(shape, list) and all(type(size) is int for size in shape)):
            raise DatasetError(f"{self.root}: info.json: feature '{name}' is {declared}; it needs a dtype and a shape.")
        try:
            return Feature(dtype, tuple(shape))
        except DatasetError as error:
            raise DatasetError(f"{self.root}: info.json: '{name}': {error}") from error

    def read_episodes(self, episodes: range, features: Mapping[str, pa.DataType]) -> Iterator[EpisodeFrames]:
        """Frames of `episodes` in order, with the named columns in the given arrow types.

        Raises:
            DatasetError: a file is missing or damaged, a column is missing or of another type, or the
                frames do not fit the episodes table.
        """
        path: Path | None = None
        table: pa.Table | None = None
        for number in episodes:
            row = self.episodes[number]
            place = {"chunk_index": row["data/chunk_index"], "file_index": row["data/file_index"]}
            wanted = self.root / DATA_PATH.format(**place)
            if table is None or wanted != path:
                path, table = wanted, _read_data_file(wanted, features)
            yield self._one_episode(number, table, wanted, tuple(features))

    def _one_episode(self, number: int, table: pa.Table, path: Path, columns: tuple[str, ...]) -> EpisodeFrames:
        rows = np.flatnonzero(table["episode_index"].to_numpy() == number)
        length = self.episodes[number]["length"]
        if len(rows) != length or rows[-1] - rows[0] + 1 != length:
            raise DatasetError(f"{path}: episode {number}: {len(rows)} frames, expected {length} in a row.")
        part = table.slice(int(rows[0]), length)
        if part["frame_index"].to_pylist() != list(range(length)):
            raise DatasetError(f"{path}: episode {number}: frame_index is not 0..{length - 1}.")
        task_indices = set(part["task_index"].to_pylist())
        if len(task_indices) != 1 or not task_indices <= self.tasks.keys():
            raise DatasetError(f"{path}: episode {number}: task_index {task_indices} is not one known task.")
        task = self.tasks[task_indices.pop()]
        return EpisodeFrames(number, task, {name: part[name].to_pylist() for name in columns})

    def decode(self, stored: Any, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        """Decode one stored image.

        Args:
            stored: the value of an image column, `{"bytes": PNG, "path": ...}`; paths are never followed.
            shape: expected (height, width, 3).
        """
        return decode_png(stored, shape, self.root)


def open_dataset(root: Path) -> Dataset:
    """Check the description of the data set at `root` and open it.

    Raises:
        DatasetError: not a LeRobotDataset v3.0, unfinished, damaged or inconsistent; says what and where.
    """
    info = _read_info(root / INFO_PATH)
    total_episodes = _count(info, "total_episodes", root)
    total_frames = _count(info, "total_frames", root)
    tasks = _read_tasks(root / TASKS_PATH)
    if len(tasks) != _count(info, "total_tasks", root):
        raise DatasetError(f"{root}: info.json and tasks.parquet ({len(tasks)}) disagree on the tasks.")
    episodes = _read_episodes(root, total_episodes, total_frames)
    return Dataset(root, info, _splits(info, total_episodes, root), tasks, episodes)


def dataset_digest(root: Path) -> str:
    """Identity of a data set: its description and statistics."""
    return hashlib.sha256(b"".join((root / name).read_bytes() for name in (INFO_PATH, STATS_PATH))).hexdigest()


def read_statistics(root: Path) -> Mapping[str, Any]:
    """The statistics of each feature; see `vla_datasets.lerobot.statistics`.

    Raises:
        DatasetError: missing or damaged.
    """
    path = root / STATS_PATH
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {error}.") from error
    if not isinstance(found, dict) or not all(isinstance(values, dict) for values in found.values()):
        raise DatasetError(f"{path} holds no statistics: they are a table of features, each a table of numbers.")
    return found


def check_statistics(dataset: Dataset) -> None:
    """Refuse statistics that are another set's, or of this one before it was changed; pictures may be sampled.

    Raises:
        DatasetError: they count other frames, or are no statistics.
    """
    frames, features = dataset.info["total_frames"], dataset.info["features"]
    for name, values in read_statistics(dataset.root).items():
        if name not in features or dataset.feature(name).dtype == "image":
            continue
        where = f"{dataset.root / STATS_PATH}: '{name}'"
        if values.get("count", [frames]) != [frames]:
            raise DatasetError(
                f"{where} counts {values['count']!r:.40} frames, and the set has {frames}: they are another set's, or "
                "older than it. Write the set anew."
            )
        try:
            least, mean, most, std = (np.asarray(values[key], np.float64) for key in ("min", "mean", "max", "std"))
            slack = _ROUNDED * (most - least + np.abs(mean))
            right = (least <= mean + slack) & (mean <= most + slack) & (std >= 0) & (std <= most - least + slack)
        except (KeyError, ValueError, TypeError) as error:
            raise DatasetError(f"{where} is damaged: {error}.") from error
        if not right.all():
            raise DatasetError(
                f"{where} is damaged: a mean or a deviation is not between the least and the largest value."
            )


def _read_info(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DatasetError(f"{path} does not exist: not a LeRobot data set, or its collection is not finished.")
    if path.stat().st_size > _MAX_INFO_BYTES:
        raise DatasetError(f"{path} has {path.stat().st_size} bytes; at most {_MAX_INFO_BYTES} are read.")
    try:
        info = read_json(path)
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {error}.") from error
    if not isinstance(info, dict) or info.get("codebase_version") != CODEBASE_VERSION:
        found = info.get("codebase_version") if isinstance(info, dict) else type(info).__name__
        raise DatasetError(f"{path}: codebase_version is {found!r}; only {CODEBASE_VERSION} is read.")
    if info.get("data_path") != DATA_PATH:
        raise DatasetError(f"{path}: data_path is {info.get('data_path')!r}; only {DATA_PATH!r} is read.")
    features = info.get("features")
    if not isinstance(features, dict):
        raise DatasetError(f"{path}: 'features' is missing.")
    videos = [name for name, f in features.items() if isinstance(f, dict) and f.get("dtype") == "video"]
    if videos:
        raise DatasetError(f"{path}: {', '.join(videos)} are videos; convert them to dtype 'image' first.")
    return info


def _count(info: Mapping[str, Any], key: str, root: Path) -> int:
    value = info.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= 2**40:
        raise DatasetError(f"{root}: info.json: {key} is {value!r}, not a positive count.")
    return value


def _splits(info: Mapping[str, Any], total: int, root: Path) -> dict[str, tuple[int, int]]:
    stored = info.get("splits", {})
    splits: dict[str, tuple[int, int]] = {}
    for name, text in stored.items() if isinstance(stored, dict) else ():
        match = _SPLIT.fullmatch(text) if isinstance(text, str) else None
        start, stop = (int(match[1]), int(match[2])) if match else (0, -1)
        if not 0 <= start < stop <= total:
            raise DatasetError(f"{root}: split '{name}' is {text!r}; it must be 'start:stop' within {total} episodes.")
        for other, (first, last) in splits.items():
            if start < last and first < stop:
                raise DatasetError(f"{root}: splits '{other}' and '{name}' share episodes.")
        splits[name] = (start, stop)
    return splits


def _table(path: Path, types: Mapping[str, pa.DataType]) -> pa.Table:
    """The named columns of a parquet file, each of exactly the given type, every value there and whole."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            schema = file.schema_arrow
            for name, expected in types.items():
                if name not in schema.names:
                    raise DatasetError(f"{path}: column '{name}' is missing; it has {', '.join(schema.names)}.")
                if schema.names.count(name) > 1:
                    raise DatasetError(f"{path}: column '{name}' is there more than once.")
                if schema.field(name).type != expected:
                    raise DatasetError(f"{path}: column '{name}' is {schema.field(name).type}, not {expected}.")
            table = file.read(columns=list(types))
            table.validate(full=True)  # text that is no UTF-8
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DatasetError(f"{path} cannot be read: {error}.") from error
    for name in types:
        if any(_has_nulls(chunk) for chunk in table[name].chunks):
            raise DatasetError(f"{path}: column '{name}' has empty cells.")
    return table


def _has_nulls(column: pa.Array) -> bool:
    """Whether a value is missing, be it inside a list."""
    kind = column.type
    inside = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(column.null_count) or (inside and _has_nulls(column.flatten()))


def _read_data_file(path: Path, features: Mapping[str, pa.DataType]) -> pa.Table:
    bookkeeping = {name: pa.int64() for name in ("episode_index", "frame_index", "task_index")}
    return _table(path, {**bookkeeping, **features})


def _read_tasks(path: Path) -> dict[int, str]:
    table = _table(path, {"task_index": pa.int64(), "task": pa.string()})
    tasks = dict(zip(table["task_index"].to_pylist(), table["task"].to_pylist(), strict=True))
    if len(tasks) != table.num_rows:
        raise DatasetError(f"{path}: a task_index occurs twice.")
    return tasks


def _episodes_files(root: Path) -> list[Path]:
    return sorted((root / EPISODES_PATH).parent.parent.glob("chunk-*/file-*.parquet"))


def _read_episodes(root: Path, total: int, frames: int) -> tuple[Mapping[str, Any], ...]:
    """All rows of the episodes files, checked to tile the frames without gap or overlap."""
    integers = ("episode_index", "length", "dataset_from_index", "dataset_to_index")
    types = {name: pa.int64() for name in (*integers, "data/chunk_index", "data/file_index")}
    rows: list[Mapping[str, Any]] = []
    for path in _episodes_files(root):
        rows.extend(_table(path, types).to_pylist())
    if len(rows) != total:
        raise DatasetError(f"{root}: info.json says {total} episodes, meta/episodes has {len(rows)}.")
    position = 0
    for number, row in enumerate(rows):
        bad = row["episode_index"] != number or row["length"] < 1 or row["dataset_from_index"] != position
        position += row["length"]
        if bad or row["dataset_to_index"] != position:
            raise DatasetError(f"{root}: meta/episodes: row {number} does not follow the one before it: {dict(row)}.")
        if not (0 <= row["data/chunk_index"] < 10**6 and 0 <= row["data/file_index"] < 10**6):
            raise DatasetError(f"{root}: meta/episodes: row {number} names no data file: {dict(row)}.")
    if position != frames:
        raise DatasetError(f"{root}: info.json says {frames} frames, the episodes have {position}.")
    return tuple(rows)
