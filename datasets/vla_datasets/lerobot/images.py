"""Decoded images on disk, beside their data set in `.images/`: read as they are needed, decoded once.

A hundred thousand frames of 128 x 128 pixels are 5 GB and minutes of decoding. They are a memory-mapped .npy file, so
that a run starts at once and the operating system keeps in memory what fits.

Not here: windows around frames (`windows.py`); images as numbers of tiles (`tiles.py`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vla_datasets.lerobot.reader import Dataset, dataset_digest
from vla_datasets.shrink import shrink
from vla_isa.files import make_folder, whole_file

__all__ = ["decoded_images"]

U8 = npt.NDArray[np.uint8]


def decoded_images(dataset: Dataset, split: str, key: str, side: int) -> U8:
    """The images (frames, side, side, channels) of a column, averaged to `side` pixels.

    They are kept where the data set's folder can be written; elsewhere they are in memory, unless they were kept.

    Raises:
        DatasetError: the set is damaged, or `side` does not divide its images.
        OutputError: there is no room to keep them.
    """
    frames = sum(int(dataset.episodes[number]["length"]) for number in dataset.split(split))
    shape = (frames, side, side, dataset.feature(key).shape[-1])
    path = _path(dataset.root, split, key, side)
    found = _read(path, shape)
    if found is not None:
        return found
    if not os.access(path.parent if path.parent.exists() else dataset.root, os.W_OK):
        images = np.empty(shape, np.uint8)
        for number, image in enumerate(_decode(dataset, split, key, side)):
            images[number] = image
        return images
    make_folder(path.parent)
    for old in path.parent.glob(f"{path.name.rpartition('-')[0]}-*.npy"):
        if old != path and old.is_file():  # of the data set as it was; who reads it now keeps it
            old.unlink(missing_ok=True)
    with whole_file(path) as temporary:
        with temporary.open("wb") as file:  # a mapped file that grows is a crash where the disk is full
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for image in _decode(dataset, split, key, side):
                file.write(image.tobytes())
        written: U8 = np.lib.format.open_memmap(temporary, mode="r")  # its own, whatever others put in its place
    return written


def _path(root: Path, split: str, key: str, side: int) -> Path:
    """Another one for another data set, by its end."""
    column = hashlib.sha256(key.encode()).hexdigest()[:8]  # keys are text from outside
    return root / ".images" / f"{split}-{side}-{column}-{_state(root)[:16]}.npy"


def _state(root: Path) -> str:
    """Of the data set's identity and its files: what edits them in place may leave its description alone."""
    found = hashlib.sha256(dataset_digest(root).encode())
    for path in sorted((root / "data").rglob("*.parquet")):
        about = path.stat()
        found.update(f"{path.relative_to(root)} {about.st_size} {about.st_mtime_ns}\n".encode())
    return found.hexdigest()


def _read(path: Path, shape: tuple[int, ...]) -> U8 | None:
    """None where there is no such file, or it is damaged."""
    try:
        found: U8 = np.lib.format.open_memmap(path, mode="r")
    except Exception:  # whatever the header is: it is made again
        return None
    return found if found.shape == shape and found.dtype == np.uint8 else None


def _decode(dataset: Dataset, split: str, key: str, side: int) -> Iterator[U8]:
    feature = dataset.feature(key)
    for episode in dataset.read_episodes(dataset.split(split), {key: feature.arrow_type()}):
        for stored in episode.columns[key]:
            yield shrink(dataset.decode(stored, feature.shape), side)
