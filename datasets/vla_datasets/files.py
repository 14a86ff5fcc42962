"""The two forms of a data set's files: JSON whose bytes depend on the values only, and parquet tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vla_isa.files import make_folder, whole_file, write_whole

__all__ = ["write_json", "write_table"]


def write_json(target: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, so equal values give equal bytes."""
    make_folder(target.parent)
    write_whole(target, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


def write_table(target: Path, table: pa.Table) -> None:
    """Write one parquet file (snappy, as LeRobot does), with checksums: a reader sees what a disk has changed."""
    make_folder(target.parent)
    with whole_file(target) as path:
        pq.write_table(table, path, compression="snappy", write_page_checksum=True)
