"""Read JSON and TOML files that anybody may have written: every way in which one is damaged is one error.

Not here: what a file must hold, and the JSON inside a program file (`records.py`).
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

__all__ = ["is_text", "read_json", "read_toml"]


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        ValueError: it is no JSON, no UTF-8, nested too deep, has a key twice, or is a device, of which there is no end.
        OSError: it is not there or cannot be read.
    """
    return _parsed(path, partial(json.loads, object_pairs_hook=_table))


def read_toml(path: Path) -> dict[str, Any]:
    """The table of a TOML file; see `read_json`."""
    table: dict[str, Any] = _parsed(path, tomllib.loads)
    return table


def is_text(value: str) -> bool:
    """Whether it can be written: JSON and command lines may hold halves of characters, which UTF-8 has not."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values of one key JSON does not say which counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it has '{next(name for name in names if names.count(name) > 1)}' twice")
    return found


def _parsed(path: Path, parse: Callable[[str], Any]) -> Any:
    if path.exists() and not (path.is_file() or path.is_dir()):  # to open a folder is an OSError
        raise ValueError(f"{path} is a device or a pipe, not a file")
    try:
        return parse(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
