"""Files of a user: written whole or not at all. Not here: reading arrays (`vla_isa.input_arrays`)."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vlarun.errors import InputError

__all__ = ["check_writable", "write_arrays", "write_json"]


def check_writable(path: Path) -> None:
    """Refuse early a path where nothing can be written.

    Raises:
        InputError: the folder is missing or not writable, or the path is a folder or a device.
    """
    folder = path.parent
    if path.is_dir():
        raise InputError(f"'{path}' is a folder; give a file name")
    if path.exists() and not path.is_file():  # a device would be replaced by a file
        raise InputError(f"'{path}' is no regular file; give the name of a file to write")
    if not folder.is_dir():
        raise InputError(f"'{path}' cannot be written: there is no folder '{folder}'")
    if not os.access(folder, os.W_OK):
        raise InputError(f"'{path}' cannot be written: no permission in '{folder}'")


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an .npz file, whole or not at all; any name is a legal key, also those numpy.savez keeps for itself."""

    def write(f: IO[bytes]) -> None:
        with zipfile.ZipFile(f, "w") as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)

    _write(path, write)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    _write(path, lambda f: f.write(json.dumps(value, indent=1).encode() + b"\n"))


def _write(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as f:
            write(f)
        temporary.replace(path)
    except OSError as e:
        raise InputError(f"'{path}' cannot be written: {e.strerror or e}") from e
    finally:
        temporary.unlink(missing_ok=True)
