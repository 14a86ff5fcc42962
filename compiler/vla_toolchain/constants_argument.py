"""`--constants` of `vlac compile`: DATA.npz, or ENTRY=DATA.npz for each of several entry points, and their arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vla_isa.errors import BadUsageError, InputError
from vla_isa.input_arrays import read_all

__all__ = ["mission_files", "read_constants"]


def mission_files(texts: Sequence[str]) -> dict[str, Path]:
    """Of each entry point its file; none where one file without a name is given, or nothing.

    What holds a path separator in front of its '=' is a file without a name.

    Raises:
        BadUsageError: files with and without names, several without, or a name twice.
    """
    found: dict[str, Path] = {}
    plain: list[str] = []
    for text in texts:
        name, equals, file = text.partition("=")
        if not equals or os.sep in name:
            plain.append(text)
            continue
        if not name or not file:
            raise BadUsageError(f"argument --constants: '{text}' is not ENTRY=DATA.npz")
        if name in found:
            raise BadUsageError(
                f"argument --constants: '{name}' is given twice, '{found[name]}' and '{file}'; name each once"
            )
        found[name] = Path(file)
    if plain and found:
        raise BadUsageError(
            f"argument --constants: '{plain[0]}' has no entry point's name and '{next(iter(found))}' is one; give one "
            "file without a name, or a name to each: ENTRY=DATA.npz"
        )
    if len(plain) > 1:
        raise BadUsageError(
            f"argument --constants is given {len(plain)} times without names; for an entry point each name all: "
            "ENTRY=DATA.npz"
        )
    return found


def read_constants(path: Path | str) -> dict[str, Any]:
    """The arrays of a file.

    Raises:
        BadUsageError: it cannot be read, is no .npz file of numbers, or holds no array.
    """
    try:
        found = read_all(path)
    except InputError as e:
        raise BadUsageError(f"--constants: {e}") from e
    if not found:
        raise BadUsageError(f"--constants: '{path}' holds no array; give the values of one input or more")
    return found
