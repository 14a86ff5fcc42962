"""The files of a zarr store, in a folder or in a .zip, each read only as far as it may be large.

Not here: what is in them (`zarr_array.py`).
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path
from typing import Protocol

from vla_datasets.errors import DatasetError

__all__ = ["ZarrFiles", "open_files"]

_MARK = "meta/episode_ends/.zarray"  # what a replay buffer has


class ZarrFiles(Protocol):
    """Named pieces of bytes."""

    where: Path

    def read(self, name: str, most: int) -> bytes:
        """The bytes of a file.

        Raises:
            DatasetError: it is not there, larger than `most`, or cannot be read.
        """

    def has(self, name: str) -> bool:
        """Whether it is there."""


def open_files(path: Path) -> ZarrFiles | None:
    """The replay buffer in a folder, or somewhere in a .zip; None: there is none.

    Raises:
        DatasetError: the .zip is damaged, or holds several.
    """
    if path.is_dir():
        return _Folder(path) if (path / _MARK).is_file() else None
    if not (path.is_file() and path.suffix == ".zip"):
        return None
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{path} cannot be read: {error}. Get the file again.") from error
    found = [name.removesuffix(_MARK) for name in archive.namelist() if f"/{name}".endswith(f"/{_MARK}")]
    if len(found) > 1:
        raise DatasetError(f"{path} holds several replay buffers ({', '.join(found[:4])}); unpack it and give one.")
    return _Zip(path, archive, found[0]) if found else None


class _Folder:
    def __init__(self, where: Path) -> None:
        self.where = where

    def has(self, name: str) -> bool:
        return (self.where / name).is_file()

    def read(self, name: str, most: int) -> bytes:
        path = self.where / name
        try:
            about = path.stat()
            if not stat.S_ISREG(about.st_mode):
                raise DatasetError(f"{path} is no file.")
            _check_size(path, about.st_size, most)
            return path.read_bytes()
        except OSError as error:
            raise DatasetError(f"{path} cannot be read: {error.strerror}. Get the recording again.") from error


class _Zip:
    def __init__(self, where: Path, archive: zipfile.ZipFile, root: str) -> None:
        self.where = where
        self._archive, self._root, self._names = archive, root, frozenset(archive.namelist())

    def has(self, name: str) -> bool:
        return self._root + name in self._names

    def read(self, name: str, most: int) -> bytes:
        """Nothing is unpacked to the disk: names in the archive lead nowhere."""
        path = self.where / (self._root + name)
        if not self.has(name):
            raise DatasetError(f"{path} is not in the archive. Get the recording again.")
        try:
            with self._archive.open(self._root + name) as file:
                found = file.read(most + 1)  # what an archive says of a size need not be so
        except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DatasetError(f"{path} cannot be read: {error}. Get the recording again.") from error
        _check_size(path, len(found), most)
        return found


def _check_size(path: Path, size: int, most: int) -> None:
    if size > most:
        raise DatasetError(f"{path} has {size:,} bytes or more; at most {most:,} are read of such a file.")
