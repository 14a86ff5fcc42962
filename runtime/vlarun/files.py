"""Files of a user: written whole or not at all. Not here: reading arrays (`vla_isa.input_arrays`)."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.files import whole_file, write_whole

__all__ = ["write_arrays", "write_json"]


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an .npz file, whole or not at all; any name is a legal key, also those numpy.savez keeps for itself."""
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    write_whole(path, json.dumps(value, indent=1).encode() + b"\n")
