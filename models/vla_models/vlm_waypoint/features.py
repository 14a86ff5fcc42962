"""What a frozen tower said of pictures, on disk: each picture passes it once, whichever run sees it.

A file for each tower and number of tokens, of records one behind another:

    key      sha256 of the picture's bytes
    check    crc32 of key and row: a record that was cut short or damaged is made again
    row      float32 (tokens, width)

Processes may share it. Each picture passes the tower alone, so that a row depends on nothing else in its batch.
"""

from __future__ import annotations

import fcntl
import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vla_isa.errors import OutputError
from vla_isa.files import make_folder

__all__ = ["FeatureCache"]

Floats = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]


class FeatureCache:
    """The rows of one tower.

    Args:
        folder: made when there is a first row.
        tower: the tower's id.
        shape: (tokens, width) of a row.
    """

    def __init__(self, folder: Path, tower: str, shape: tuple[int, int]) -> None:
        self._path = folder / f"{tower}-{shape[0]}x{shape[1]}.rows"
        self._record = np.dtype([("key", "S64"), ("check", "<u4"), ("row", "<f4", shape)])
        self._places: dict[bytes, int] = {}
        self._read = 0  # records that are known
        self._file = 0  # inode that they are in
        self._rows = np.empty(0, self._record)

    def rows(self, pictures: U8, compute: Callable[[int], Floats]) -> Floats:
        """Rows (N, tokens, width) of pictures (N, S, S, 3).

        Args:
            pictures: RGB bytes.
            compute: the row (tokens, width) of the picture of this number.

        Raises:
            OutputError: the file cannot be written.
        """
        keys = [hashlib.sha256(picture.tobytes()).hexdigest().encode() for picture in pictures]
        if any(key not in self._places for key in keys):
            self._look()
        numbers = {key: number for number, key in enumerate(keys) if key not in self._places}
        if numbers:
            self._add({key: compute(number) for key, number in numbers.items()})
        return np.stack([self._rows[self._places[key]]["row"] for key in keys])

    def _look(self) -> None:
        """Take in what is in the file and not known yet."""
        size, file = 0, 0
        if self._path.is_file():
            about = self._path.stat()
            size, file = about.st_size, about.st_ino
        count = size // self._record.itemsize
        if file != self._file or count < self._read:  # somebody deleted it: what is there now is another one's
            self._places.clear()
            self._read, self._file = 0, file
        if count <= self._read:
            return
        self._rows = np.memmap(self._path, self._record, "r", shape=(count,))
        for place in range(self._read, count):
            record = self._rows[place]
            if record["check"] == _check(record["key"], record["row"]):
                self._places[bytes(record["key"])] = place
        self._read = count

    def _add(self, rows: dict[bytes, Floats]) -> None:
        make_folder(self._path.parent)
        try:
            with self._path.open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                whole = file.tell() // self._record.itemsize * self._record.itemsize
                file.truncate(whole)  # what a process that was killed left
                found = np.empty(len(rows), self._record)
                for place, (key, row) in enumerate(rows.items()):
                    found[place] = (key, _check(key, row), row)
                file.write(found.tobytes())
        except OSError as error:
            raise OutputError(
                f"output '{self._path}' cannot be written: {error.strerror}; free some room, or choose another "
                "'feature_cache'"
            ) from error
        self._look()


def _check(key: bytes, row: Floats) -> int:
    return zlib.crc32(row.tobytes(), zlib.crc32(key))
