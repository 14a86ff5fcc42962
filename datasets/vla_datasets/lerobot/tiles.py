"""Images as numbers of their tiles, for worlds that draw few different ones: a grid world shows 40 of 8 x 8 pixels.

A frame of 56 x 56 pixels is 49 bytes instead of 9,408, and what a convolution without overlap makes of a tile is
computed once a batch. Decoded once for a data set; the numbers lie beside it, in `.tiles/`.

Not here: windows around frames (`windows.py`), what a policy makes of tiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError
from vla_datasets.lerobot.reader import dataset_digest
from vla_isa.files import whole_file

__all__ = ["MOST_TILES", "TileTable", "Tiles", "read_cache", "write_cache"]

MOST_TILES = 65_536  # more are no few: use the images themselves
U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Tiles:
    """Images as numbers (frames, H / tile, W / tile) of a table (T, tile, tile, 3)."""

    numbers: npt.NDArray[np.uint16]
    table: U8


class TileTable:
    """Numbers the tiles of images in the order in which they come.

    Args:
        tile: pixels of a tile, both sides.
    """

    def __init__(self, tile: int) -> None:
        self.tile = tile
        self._numbers: dict[bytes, int] = {}

    def encode(self, images: U8) -> npt.NDArray[np.uint16]:
        """The numbers (frames, H / tile, W / tile) of images (frames, H, W, 3).

        Raises:
            DatasetError: the sides are no multiples of a tile, or there are too many tiles.
        """
        frames, height, width, channels = images.shape
        tile = self.tile
        if height % tile or width % tile:
            raise DatasetError(f"Images of {height} x {width} pixels are not made of tiles of {tile} x {tile}.")
        cells = images.reshape(frames, height // tile, tile, width // tile, tile, channels).transpose(0, 1, 3, 2, 4, 5)
        rows = np.ascontiguousarray(cells).reshape(-1, tile * tile * channels)
        found, places = np.unique(rows.view(np.dtype((np.void, rows.shape[1]))).ravel(), return_inverse=True)
        numbers = [self._numbers.setdefault(each.tobytes(), len(self._numbers)) for each in found]
        if len(self._numbers) > MOST_TILES:
            raise DatasetError(
                f"The images have more than {MOST_TILES} different tiles of {tile} x {tile} pixels: they are not drawn "
                "of few ones. Train without 'tile_cache'."
            )
        return np.asarray(numbers, np.uint16)[places.ravel()].reshape(frames, height // tile, width // tile)

    def table(self) -> U8:
        """All tiles so far, (T, tile, tile, 3)."""
        return np.frombuffer(b"".join(self._numbers), np.uint8).reshape(-1, self.tile, self.tile, 3).copy()


def read_cache(
    root: Path, split: str, tile: int, shapes: Mapping[str, tuple[int, ...]] = {}
) -> Mapping[str, Tiles] | None:
    """What `write_cache` wrote for the data set as it is now, by key; None where there is nothing of use.

    Args:
        root: the data set.
        split: of it.
        tile: pixels of a tile, both sides.
        shapes: of the numbers of keys, (frames, H / tile, W / tile), where they are known.
    """
    digest = dataset_digest(root)
    try:
        with np.load(_path(root, split, tile), allow_pickle=False) as stored:
            if stored["digest"].item() != digest:
                return None
            keys = [name.removesuffix(":table") for name in stored.files if name.endswith(":table")]
            found = {key: Tiles(stored[f"{key}:numbers"], stored[f"{key}:table"]) for key in keys}
    except (
        Exception
    ):  # damaged in whatever way: zipfile, zlib and numpy have an error each, and all of it is made again
        return None
    whole = all(_sound(value, tile, shapes.get(key, value.numbers.shape)) for key, value in found.items())
    return found if whole else None


def _sound(value: Tiles, tile: int, shape: tuple[int, ...]) -> bool:
    """Every number is of a tile, and there are as many numbers as the images have tiles."""
    numbers, table = value.numbers, value.table
    typed = numbers.dtype == np.uint16 and table.dtype == np.uint8
    shaped = numbers.ndim == 3 and numbers.shape == shape and table.shape[1:] == (tile, tile, 3)
    return typed and shaped and int(numbers.max(initial=0)) < len(table)


def write_cache(root: Path, split: str, tile: int, tiles: Mapping[str, Tiles]) -> None:
    """Store the tiles of a split's image columns, by key, beside its data set."""
    arrays: dict[str, Any] = {"digest": np.array(dataset_digest(root))}
    for key, value in tiles.items():
        arrays |= {f"{key}:numbers": value.numbers, f"{key}:table": value.table}
    path = _path(root, split, tile)
    path.parent.mkdir(exist_ok=True)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _path(root: Path, split: str, tile: int) -> Path:
    return root / ".tiles" / f"{split}-{tile}.npz"
