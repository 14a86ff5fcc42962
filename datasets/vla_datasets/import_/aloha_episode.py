"""One episode of ALOHA's layout: an HDF5 file of places, actions and pictures.

    observations/qpos (T, 14)    left arm 6, left gripper, right arm 6, right gripper; rad, grippers as they are counted
    action (T, 14)               the same, where they should be
    observations/images/CAMERA   uint8 (T, H, W, 3), or JPEG: bytes "S{n}" (T,), or uint8 (T, n) with zeros behind
    attributes sim, compress     whether it is from a simulation; whether the pictures are JPEG

Source: tonyzhaozh/act `record_sim_episodes.py`, tonyzhaozh/aloha `record_episodes.py`, and RDT's `hdf5_vla_dataset.py`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vla_datasets.errors import DatasetError
from vla_datasets.import_.hdf5_files import check_written, flag, members, open_hdf5, read, stored
from vla_datasets.import_.recording import Array

__all__ = ["ACTION", "CAMERA", "IMAGES", "QPOS", "Contents", "contents", "pictures", "places", "their_camera"]

QPOS, ACTION, IMAGES = "observations/qpos", "action", "observations/images"
_MOST_FRAMES, _MOST_SIDE = 100_000, 4096
_WIDTH = 14
CAMERA = re.compile(r"[a-z0-9_]{1,40}")
_HIGH, _TOP = "cam_high", "top"  # ALOHA's name and ours; of all others "cam_" is left out


@dataclass(frozen=True)
class Contents:
    """What a file says it holds: frames, and of each camera, by our name, its name there and the pictures' shape."""

    length: int
    cameras: Mapping[str, tuple[str, tuple[int, int, int]]]


def their_camera(ours: str) -> str:
    """What ALOHA calls a camera of ours."""
    return _HIGH if ours == _TOP else f"cam_{ours}"


def contents(path: Path) -> Contents:
    """Look at a file without reading it all.

    Raises:
        DatasetError: it is no episode of this layout, or damaged.
        CollectError: h5py is not installed.
    """
    with open_hdf5(path) as file:
        length = _rows(file, QPOS)
        if _rows(file, ACTION) != length:
            raise DatasetError(f"{path}: '{ACTION}' has {_rows(file, ACTION)} rows, and '{QPOS}' {length}.")
        cameras: dict[str, tuple[str, tuple[int, int, int]]] = {}
        for name in members(file, IMAGES):
            if not CAMERA.fullmatch(name):
                raise DatasetError(f"{path}: a camera is called {name!r:.60}; names have letters a-z, digits and '_'.")
            ours = _TOP if name == _HIGH else name.removeprefix("cam_")
            if ours in cameras:
                raise DatasetError(f"{path}: '{name}' and '{cameras[ours][0]}' are both camera '{ours}'.")
            cameras[ours] = name, _shape(file, f"{IMAGES}/{name}", length)
        return Contents(length, cameras)


def places(path: Path) -> tuple[Array, Array]:
    """Where the arms were and where they should be, (T, 14) each, as the file counts.

    Raises:
        DatasetError: damaged, or a value is no finite number.
    """
    found = []
    with open_hdf5(path) as file:
        for name in (QPOS, ACTION):
            _rows(file, name)
            with np.errstate(invalid="ignore", over="ignore"):  # what is no number is looked for below
                values: Array = read(file, stored(file, name)).astype(np.float64)
                fits = np.isfinite(values.astype(np.float32))
            if not fits.all():
                frame = int(np.argwhere(~fits)[0][0])
                raise DatasetError(
                    f"{path}: '{name}' has a value that is no finite number in frame {frame}, as float32."
                )
            found.append(values)
    return found[0], found[1]


def pictures(path: Path, name: str, shape: tuple[int, int, int]) -> Iterator[npt.NDArray[np.uint8]]:
    """The pictures of a camera in order, (H, W, 3) as they are decoded.

    Args:
        name: the camera's, in the file.
        shape: that all of them have.

    Raises:
        DatasetError: one is damaged, or of another shape.
    """
    with open_hdf5(path) as file:
        dataset = stored(file, f"{IMAGES}/{name}")
        for frame in range(dataset.shape[0]):
            values = read(file, dataset, frame)
            where = f"{path}: '{name}': frame {frame}"
            picture = values if dataset.ndim == 4 else _decoded(values, where, shape)
            if picture.shape != shape:
                raise DatasetError(f"{where} is {list(picture.shape)}; the first one is {list(shape)}.")
            yield picture


def _rows(file: Any, name: str) -> int:
    """How many rows a dataset of places has."""
    dataset = stored(file, name)
    if dataset.dtype.kind != "f" or dataset.ndim != 2 or dataset.shape[1] != _WIDTH:
        found = f"{dataset.dtype} {list(dataset.shape)}"
        raise DatasetError(f"{file.filename}: '{name}' is {found}; it must be floats [frames, {_WIDTH}].")
    length = _checked_length(file, name, dataset.shape[0])
    check_written(file, dataset)
    return length


def _checked_length(file: Any, name: str, length: int) -> int:
    if not 1 <= length <= _MOST_FRAMES:
        raise DatasetError(f"{file.filename}: '{name}' has {length:,} frames; it must be 1 to {_MOST_FRAMES:,}.")
    return length


def _shape(file: Any, name: str, length: int) -> tuple[int, int, int]:
    """(height, width, 3) of a camera's first picture."""
    dataset = stored(file, name)
    kind, shape = dataset.dtype, dataset.shape
    raw = kind == np.uint8 and len(shape) == 4 and shape[3] == 3
    packed = (kind.kind == "S" and len(shape) == 1) or (kind == np.uint8 and len(shape) == 2)
    if not (raw or packed):
        raise DatasetError(
            f"{file.filename}: '{name}' is {kind} {list(shape)}; pictures are uint8 [frames, height, width, 3], or "
            "JPEG as bytes [frames] or uint8 [frames, bytes]."
        )
    if shape[0] != length:
        raise DatasetError(f"{file.filename}: '{name}' has {shape[0]:,} pictures, and '{QPOS}' {length:,} rows.")
    if flag(file, "compress") not in (None, packed):
        said = "JPEG" if not packed else "no JPEG"
        raise DatasetError(f"{file.filename}: 'compress' says that pictures are {said}, and '{name}' is {list(shape)}.")
    found = shape[1:] if raw else _decoded(read(file, dataset, 0), f"{file.filename}: '{name}': frame 0").shape
    if not (min(found) >= 1 and max(found) <= _MOST_SIDE):
        raise DatasetError(f"{file.filename}: '{name}' has pictures of {list(found)}; sides are 1 to {_MOST_SIDE}.")
    check_written(file, dataset)
    return found


def _decoded(values: npt.NDArray[Any], where: str, shape: tuple[int, int, int] | None = None) -> npt.NDArray[np.uint8]:
    """A JPEG's pixels; its size is looked at before it is unpacked."""
    try:
        with Image.open(io.BytesIO(values.tobytes()), formats=["JPEG"]) as image:
            found = (image.height, image.width, 3)
            if max(found) > _MOST_SIDE or found != (shape or found):
                wanted = f"the first one is {list(shape)}" if shape else f"sides are at most {_MOST_SIDE}"
                raise DatasetError(f"{where} is {list(found)}; {wanted}.")
            return np.array(image.convert("RGB"), np.uint8)
    except DatasetError:
        raise
    except Exception as error:  # pillow raises errors of many classes for damaged files
        raise DatasetError(f"{where} is no JPEG, or damaged: {error}.") from error
