"""Files of a user: read arrays with a clear message, write whole files or none."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.files import whole_file, write_whole
from vlarun.errors import InputError

__all__ = ["read_arrays", "write_arrays", "write_json"]


def read_arrays(path: str | Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file; pickled objects are refused.

    Raises:
        InputError: missing, unreadable, damaged, or no .npz.
    """
    try:
        with np.load(path, allow_pickle=False) as loaded:
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise InputError(f"'{path}' is no .npz file; write it with numpy.savez(path, name=array)")
            return {name: loaded[name] for name in loaded.files}
    except OSError as e:
        raise InputError(f"'{path}' cannot be read: {e.strerror or e}") from e
    except (ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error, KeyError) as e:
        raise InputError(
            f"'{path}' is no whole .npz file of plain arrays; write it with numpy.savez(path, name=array)"
        ) from e


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an .npz file, whole or not at all; any name is a legal key, also those numpy.savez keeps for itself."""
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    write_whole(path, json.dumps(value, indent=1).encode() + b"\n")
