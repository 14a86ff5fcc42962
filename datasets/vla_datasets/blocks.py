"""Episodes that are done, in files between playing them and writing the data set: what is there is not played again.

Not here: which episodes a block has, and where it lies (`collect.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vla_datasets.errors import CollectError
from vla_datasets.files import write_table
from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.lerobot.writer import Episode

__all__ = ["read_block", "write_block"]


def write_block(path: Path, episodes: Sequence[Episode], features: Mapping[str, Feature]) -> None:
    """Write episodes, whole or not at all."""
    rows: list[dict[str, Any]] = [{"seed": e.seed, "task": e.task, **e.columns} for e in episodes]
    write_table(path, pa.Table.from_pylist(rows, schema=_schema(features)))


def read_block(path: Path, features: Mapping[str, Feature], episodes: int | None = None) -> list[Episode]:
    """What `write_block` wrote.

    Raises:
        CollectError: damaged, of other features, or not of so many episodes.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
        if table.schema != _schema(features) or episodes not in (None, table.num_rows):
            raise ValueError(f"{table.num_rows} episodes of {', '.join(table.schema.names)}")
        rows = table.to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise CollectError(f"{path} is damaged ({error}); delete it, and its episodes are collected again.") from error
    return [Episode(seed=row.pop("seed"), task=row.pop("task"), columns=row) for row in rows]


def _schema(features: Mapping[str, Feature]) -> pa.Schema:
    """One row an episode; each column a list with one entry a frame, images as PNG."""
    columns = {name: feature for name, feature in features.items() if name not in BOOKKEEPING}
    kinds = {name: pa.binary() if f.dtype == "image" else f.arrow_type() for name, f in columns.items()}
    return pa.schema([("seed", pa.int64()), ("task", pa.string()), *((name, pa.list_(k)) for name, k in kinds.items())])
