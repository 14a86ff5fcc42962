"""Columns of a parquet file that a stranger wrote, as arrays; vectors may be lists of a fixed length or of any.

LeRobot's own writers differ there: the `datasets` library stores lists of a fixed length, pandas, with which sets of
v2.1 were converted, plain ones. Not here: which columns (`lerobot_layout.py`, `lerobot_frames.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vla_datasets.errors import DatasetError
from vla_datasets.import_.recording import Array

__all__ = ["column_numbers", "column_whole", "read_columns"]

_MOST_BYTES = 2**31  # of a file's columns, before compression


def read_columns(path: Path, names: Sequence[str], most_rows: int) -> pa.Table:
    """The named columns of a file, none larger than what was announced.

    Raises:
        DatasetError: missing, damaged, too large, or without one of the columns.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            found = file.schema_arrow.names
            for name in names:
                if found.count(name) != 1:
                    count = "is missing" if name not in found else "is there more than once"
                    raise DatasetError(f"{path}: column '{name}' {count}; it has {', '.join(found)}.")
            rows, size = file.metadata.num_rows, _size(file.metadata, names)
            if rows > most_rows:
                raise DatasetError(f"{path} has {rows:,} rows; the set announces {most_rows:,}. Get the file again.")
            if size > _MOST_BYTES:
                raise DatasetError(f"{path} unpacks to {size:,} bytes; at most {_MOST_BYTES:,} are read. Cut it up.")
            table = file.read(columns=list(names))
            table.validate(full=True)
            return table
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DatasetError(f"{path} cannot be read: {error}. Get the file again.") from error


def column_whole(path: Path, table: pa.Table, name: str) -> Any:
    """A column of whole numbers (n,), int64.

    Raises:
        DatasetError: it is none, or has empty cells.
    """
    column = table[name]
    if not pa.types.is_integer(column.type) or column.null_count:
        raise DatasetError(
            f"{path}: column '{name}' is {column.type} with {column.null_count} empty cells, no integers."
        )
    return column.to_numpy().astype(np.int64)


def column_numbers(path: Path, table: pa.Table, name: str, width: int = 0) -> Array:
    """A column of numbers (n,), or where `width` is above 0 of vectors (n, width).

    Raises:
        DatasetError: they are of another kind or width, or some are missing.
    """
    column = table[name].combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    lists = any(is_kind(column.type) for is_kind in (pa.types.is_list, pa.types.is_large_list, _is_fixed))
    inner = column.flatten() if lists else column
    number = pa.types.is_floating(inner.type) or pa.types.is_integer(inner.type)
    if lists != (width > 0) or not number:
        wanted = f"vectors of {width} numbers" if width else "numbers"
        raise DatasetError(f"{path}: column '{name}' holds {column.type}, not {wanted}.")
    if column.null_count or inner.null_count:
        raise DatasetError(f"{path}: column '{name}' has empty cells.")
    if lists:
        lengths = pc.unique(pc.list_value_length(column)).to_pylist()
        if lengths not in ([], [width]):
            raise DatasetError(f"{path}: column '{name}' has vectors of {lengths[:5]} numbers, not of {width}.")
    values: Array = inner.to_numpy(zero_copy_only=False).astype(np.float64)
    return values.reshape(len(column), width) if width else values


def _is_fixed(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(kind))


def _size(metadata: Any, names: Sequence[str]) -> int:
    """Bytes of the columns before compression, as the file says."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    columns = (group.column(number) for group in groups for number in range(group.num_columns))
    return sum(column.total_uncompressed_size for column in columns if _top(column.path_in_schema, names))


def _top(path: str, names: Sequence[str]) -> bool:
    return any(path == name or path.startswith(f"{name}.") for name in names)
