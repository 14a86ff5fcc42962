"""Decoded images on disk, beside their data set in `.images/`: read as they are needed, decoded once.

A hundred thousand frames of 128 x 128 pixels are 5 GB and minutes of decoding. They are a memory-mapped .npy file, so
that a run starts at once and the operating system keeps in memory what fits.

Not here: windows around frames (`windows.py`); images as numbers of tiles (`tiles.py`).
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vla_datasets.lerobot.reader import Dataset, dataset_digest
from vla_datasets.shrink import shrink
from vla_isa.files import whole_file

__all__ = ["decoded_images"]

U8 = npt.NDArray[np.uint8]


def decoded_images(dataset: Dataset, split: str, key: str, side: int) -> U8:
    """The images (frames, side, side, channels) of a column, averaged to `side` pixels.

    They are kept where the data set's folder can be written; elsewhere they are in memory.

    Raises:
        DatasetError: the set is damaged, or `side` does not divide its images.
        OutputError: there is no room to keep them.
    """
    frames = sum(int(dataset.episodes[number]["length"]) for number in dataset.split(split))
    shape = (frames, side, side, dataset.feature(key).shape[-1])
    if not os.access(dataset.root, os.W_OK):
        return _decode(dataset, split, key, np.empty(shape, np.uint8))
    path = _path(dataset.root, split, key, side)
    found = _read(path, shape)
    if found is not None:
        return found
    path.parent.mkdir(exist_ok=True)
    for old in path.parent.glob(f"{path.name.rpartition('-')[0]}-*.npy"):
        old.unlink(missing_ok=True)  # of the data set as it was
    with whole_file(path) as temporary:
        kept: U8 = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
        _decode(dataset, split, key, kept)
        del kept  # written
    written: U8 = np.load(path, mmap_mode="r", allow_pickle=False)
    return written


def _path(root: Path, split: str, key: str, side: int) -> Path:
    """Another one for another data set, by its end."""
    column = hashlib.sha256(key.encode()).hexdigest()[:8]  # keys are text from outside
    return root / ".images" / f"{split}-{side}-{column}-{dataset_digest(root)[:16]}.npy"


def _read(path: Path, shape: tuple[int, ...]) -> U8 | None:
    """None where there is no such file, or it is damaged."""
    try:
        found: U8 = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):  # one that is too short for its shape is a ValueError
        return None
    return found if found.shape == shape and found.dtype == np.uint8 else None


def _decode(dataset: Dataset, split: str, key: str, images: U8) -> U8:
    feature, at = dataset.feature(key), 0
    for episode in dataset.read_episodes(dataset.split(split), {key: feature.arrow_type()}):
        for stored in episode.columns[key]:
            images[at] = shrink(dataset.decode(stored, feature.shape), images.shape[1])
            at += 1
    return images
