"""The on-disk form: LeRobotDataset v3.0, written and read natively with pyarrow.

    meta/info.json                              features, totals, splits (episode ranges), path templates
    meta/stats.json                             per feature: min, max, mean, std, count, q01..q99
    meta/tasks.parquet                          pandas layout: index `task`, column `task_index`
    meta/episodes/chunk-000/file-000.parquet    per episode: length, tasks, where its frames are
    data/chunk-000/file-000.parquet             one row per frame; images are PNG bytes in struct<bytes, path>

This file states the layout (names, types, arrow schemas); `writer.py` and `reader.py` use it.
Per-episode `stats/*` columns, which LeRobot drops on loading, are not written. Videos are not supported.
Source of the layout: huggingface/lerobot, src/lerobot/datasets/utils.py, CODEBASE_VERSION v3.0.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from vla_datasets.errors import DatasetError

__all__ = [
    "BOOKKEEPING",
    "CODEBASE_VERSION",
    "DATA_PATH",
    "EPISODES_PATH",
    "INFO_PATH",
    "STATS_PATH",
    "TASKS_PATH",
    "DatasetInfo",
    "Feature",
    "data_schema",
    "episodes_schema",
    "tasks_schema",
]

CODEBASE_VERSION = "v3.0"
INFO_PATH = "meta/info.json"
STATS_PATH = "meta/stats.json"
TASKS_PATH = "meta/tasks.parquet"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
FILES_PER_CHUNK = 1000
_MAX_AXES = 5  # of a feature; the Hugging Face library has Array2D to Array5D

_ARROW_TYPES: Mapping[str, pa.DataType] = {
    "float32": pa.float32(),
    "float64": pa.float64(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
    "image": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
}


@dataclass(frozen=True)
class Feature:
    """One column of a frame: a number, a vector, a matrix (or more axes), or "image" of (height, width, channels).

    Raises:
        DatasetError: an unknown dtype, or a shape that is none.
    """

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.dtype not in _ARROW_TYPES:
            raise DatasetError(f"a feature's dtype is '{self.dtype}'; there are {', '.join(_ARROW_TYPES)}.")
        wanted = (3,) if self.dtype == "image" else range(1, _MAX_AXES + 1)
        if len(self.shape) not in wanted or min(self.shape) < 1:
            raise DatasetError(
                f"a feature's shape is {list(self.shape)}; an image has (height, width, channels), a number (1,), and "
                f"anything else 1 to {_MAX_AXES} sizes above 0."
            )

    def arrow_type(self) -> pa.DataType:
        """The parquet type, as `datasets` stores it: a scalar for shape (1,), a fixed-size list for a vector, lists in
        lists for more axes, PNG bytes for images."""
        scalar = _ARROW_TYPES[self.dtype]
        if self.dtype == "image" or self.shape == (1,):
            return scalar
        if len(self.shape) == 1:
            return pa.list_(scalar, self.shape[0])
        return functools.reduce(lambda kind, _: pa.list_(kind), self.shape, scalar)

    def to_json(self) -> dict[str, Any]:
        """The feature as info.json holds it."""
        return {
            "dtype": self.dtype,
            "shape": list(self.shape),
            "names": list(self.names) if self.names else None,
        }


# Columns every data set has; LeRobot computes them, so users never declare them.
BOOKKEEPING: Mapping[str, Feature] = {
    "timestamp": Feature("float32", (1,)),
    "frame_index": Feature("int64", (1,)),
    "episode_index": Feature("int64", (1,)),
    "index": Feature("int64", (1,)),
    "task_index": Feature("int64", (1,)),
}


@dataclass(frozen=True)
class DatasetInfo:
    """meta/info.json. `splits` maps a name to a half-open range of episodes; none is shared."""

    fps: int
    features: Mapping[str, Feature]
    total_episodes: int
    total_frames: int
    total_tasks: int
    splits: Mapping[str, tuple[int, int]]
    robot_type: str
    collection: Mapping[str, Any] = field(default_factory=dict)  # how it was made: level, seed, versions

    def to_json(self) -> dict[str, Any]:
        """The whole info.json, with LeRobot's fixed entries."""
        fields = asdict(self)
        fields["features"] = {name: feature.to_json() for name, feature in self.features.items()}
        fields["splits"] = {name: f"{start}:{stop}" for name, (start, stop) in self.splits.items()}
        return {
            **fields,
            "collection": dict(self.collection),
            "codebase_version": CODEBASE_VERSION,
            "chunks_size": FILES_PER_CHUNK,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "data_path": DATA_PATH,
            "video_path": None,
        }


def data_schema(features: Mapping[str, Feature]) -> pa.Schema:
    """Arrow schema of a data file, with the Hugging Face metadata that makes `datasets` decode the images."""
    hugging_face = {name: _hugging_face_type(feature) for name, feature in features.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": hugging_face}})}
    return pa.schema([(name, feature.arrow_type()) for name, feature in features.items()], metadata=metadata)


def _hugging_face_type(feature: Feature) -> dict[str, Any]:
    if feature.dtype == "image":
        return {"_type": "Image"}
    value = {"dtype": feature.dtype, "_type": "Value"}
    if feature.shape == (1,):
        return value
    if len(feature.shape) == 1:
        return {"feature": value, "length": feature.shape[0], "_type": "List"}
    return {"shape": list(feature.shape), "dtype": feature.dtype, "_type": f"Array{len(feature.shape)}D"}


def episodes_schema() -> pa.Schema:
    """Arrow schema of an episodes file; `seed` is ours, the rest is LeRobot's."""
    integers = ("length", "dataset_from_index", "dataset_to_index", "data/chunk_index", "data/file_index")
    meta = ("meta/episodes/chunk_index", "meta/episodes/file_index")
    return pa.schema(
        [("episode_index", pa.int64()), ("tasks", pa.list_(pa.string()))]
        + [(name, pa.int64()) for name in (*integers, *meta, "seed")]
    )


def tasks_schema() -> pa.Schema:
    """Arrow schema of tasks.parquet: pandas reads `task` back as the index, as LeRobot expects."""
    text = {"pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    number = {"pandas_type": "int64", "numpy_type": "int64", "metadata": None}
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            {"name": "task_index", "field_name": "task_index", **number},
            {"name": "task", "field_name": "task", **text},
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.0.0",
    }
    fields = [("task_index", pa.int64()), ("task", pa.string())]
    return pa.schema(fields, metadata={"pandas": json.dumps(pandas)})
