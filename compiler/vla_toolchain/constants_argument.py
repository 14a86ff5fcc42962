"""`--constants` of `vlac compile`: DATA.npz, or ENTRY=DATA.npz for each of several entry points, and their arrays."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vla_isa.errors import BadUsageError

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
        BadUsageError: it cannot be read, is no .npz file, or holds no array.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = {name: stored[name] for name in stored.files}
    except OSError as e:
        raise BadUsageError(f"--constants: '{path}' cannot be read: {e.strerror or e}") from e
    except (ValueError, EOFError, AttributeError, TypeError, KeyError, zipfile.BadZipFile) as e:
        raise BadUsageError(
            f"--constants: '{path}' is no .npz file of plain arrays; write it with numpy.savez(path, name=array)"
        ) from e
    if not found:
        raise BadUsageError(f"--constants: '{path}' holds no array; give the values of one input or more")
    return found
