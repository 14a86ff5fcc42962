"""The two forms of a data set's files, JSON whose bytes depend on the values only and parquet tables; whole folders."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vla_isa.errors import OutputError
from vla_isa.files import make_folder, whole_file, write_whole

__all__ = ["check_new_folder", "whole_folder", "write_json", "write_table"]


def write_json(target: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, so equal values give equal bytes."""
    make_folder(target.parent)
    write_whole(target, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


def write_table(target: Path, table: pa.Table) -> None:
    """Write one parquet file (snappy, as LeRobot does), with checksums: a reader sees what a disk has changed."""
    make_folder(target.parent)
    with whole_file(target) as path:
        pq.write_table(table, path, compression="snappy", write_page_checksum=True)


def check_new_folder(out: Path) -> None:
    """Refuse a folder that is there already, unless it is empty.

    Raises:
        OutputError: it is.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise OutputError(f"output folder '{out}' is there already; choose another --out, or remove it.")


@contextlib.contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yield the name of a temporary folder; it takes the place of `out` if the block ends without an error.

    Raises:
        OutputError: `out` is there already, or cannot be written; nothing is left behind.
    """
    check_new_folder(out)
    make_folder(out.parent)
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(8)}.tmp")
    try:
        yield temporary
        os.rename(temporary, out)
    except OSError as error:
        raise OutputError(f"output folder '{out}' cannot be written: {error.strerror}; choose another place") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
