"""An array of a zarr store (format 2), a few of its rows at a time: plain numbers, compressed by Blosc or not at all.

numcodecs decompresses, after what a chunk says of its sizes was compared with what they must be. A missing chunk is an
error, not a fill value; objects, which take unpickling, and filters are refused.
Source: the zarr storage specification, version 2, and c-blosc's README_CHUNK_FORMAT.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError
from vla_datasets.import_.recording import library
from vla_datasets.import_.zarr_files import ZarrFiles

__all__ = ["ZarrArray", "open_array"]

_PLAIN = re.compile(r"<[fiu][248]|\|[iu]1")  # little-endian numbers
_BLOSC = struct.Struct("<4xIII")  # begin of a chunk: bytes before, of a block, and after compression
_MOST_META, _MOST_CHUNK = 100_000, 2**28  # bytes; of a chunk, and of a row of chunks
_MOST_ROWS = 10_000_000
_MOST_AXES = 4


@dataclass
class ZarrArray:
    """An opened array: its description is checked, its rows are read on demand.

    Attributes:
        shape: its sizes, rows first.
        chunks: sizes of the pieces in which it is stored.
    """

    files: ZarrFiles
    name: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    codec: Any
    separator: str
    _held: tuple[int, npt.NDArray[Any]] | None = field(default=None, repr=False)  # the rows of one row of chunks

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.files.where}: {self.name}"

    def rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Rows from `start` up to `stop`, in an array of their own.

        Raises:
            DatasetError: a chunk is missing or damaged.
        """
        size = self.chunks[0]
        parts = []
        for number in range(start // size, -(-stop // size)):
            first = number * size
            parts.append(self._chunk_rows(number)[max(start - first, 0) : stop - first])
        return np.concatenate(parts) if parts else np.empty((0, *self.shape[1:]), self.dtype)

    def _chunk_rows(self, number: int) -> npt.NDArray[Any]:
        """Rows of the chunks that have `number` on the first axis; those that were read last are kept."""
        if self._held is None or self._held[0] != number:
            inner = list(zip(self.shape[1:], self.chunks[1:], strict=True))
            rows = np.empty((self.chunks[0], *self.shape[1:]), self.dtype)
            for places in itertools.product(*(range(-(-size // chunk)) for size, chunk in inner)):
                part = self._chunk((number, *places))
                spans = [
                    slice(p * chunk, min((p + 1) * chunk, size)) for p, (size, chunk) in zip(places, inner, strict=True)
                ]
                rows[(slice(None), *spans)] = part[(slice(None), *(slice(s.stop - s.start) for s in spans))]
            self._held = number, rows
        return self._held[1]

    def _chunk(self, places: tuple[int, ...]) -> npt.NDArray[Any]:
        name = f"{self.name}/{self.separator.join(map(str, places))}"
        size = math.prod(self.chunks) * self.dtype.itemsize
        stored = self.files.read(name, 2 * size + 1024)
        try:
            found = np.frombuffer(self._unpacked(stored, size), self.dtype)
            return found.reshape(self.chunks)
        except (ValueError, RuntimeError, TypeError) as error:
            raise DatasetError(f"{self.files.where}: {name} is damaged: {error}. Get the recording again.") from error

    def _unpacked(self, stored: bytes, size: int) -> Any:
        """What is stored as bytes, of which there must be `size`."""
        if self.codec is None:
            return stored
        if len(stored) < _BLOSC.size:
            raise ValueError(f"it has {len(stored)} bytes")
        before, _, after = _BLOSC.unpack_from(stored)
        if (before, after) != (size, len(stored)):  # Blosc itself takes these for granted
            raise ValueError(f"{len(stored)} bytes for {size}; it says {after} for {before}")
        return self.codec.decode(stored, out=np.empty(size, np.uint8))


def open_array(files: ZarrFiles, name: str, wanted: tuple[int, ...]) -> ZarrArray:
    """Check the description of an array.

    Args:
        wanted: sizes of its rows.

    Raises:
        DatasetError: it is missing, damaged, of another shape, or stored in a way that is not read.
        CollectError: numcodecs is not installed.
    """
    where = f"{files.where}: {name}/.zarray"
    try:
        about = json.loads(files.read(f"{name}/.zarray", _MOST_META))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{where} is no JSON: {error}.") from error
    if not isinstance(about, dict) or about.get("zarr_format") != 2:
        raise DatasetError(f"{where} is not of zarr format 2, which Diffusion Policy writes and which is read.")
    shape, chunks = (_sizes(where, key, about.get(key)) for key in ("shape", "chunks"))
    if shape[1:] != wanted or len(chunks) != len(shape) or min(chunks) < 1:
        raise DatasetError(
            f"{where}: shape {list(shape)} in chunks of {list(chunks)}; it must be rows of {list(wanted)}."
        )
    dtype = about.get("dtype")
    if not isinstance(dtype, str) or not _PLAIN.fullmatch(dtype):
        raise DatasetError(
            f"{where}: dtype is {dtype!r}; little-endian numbers are read, such as '<f4', and no objects: to unpickle "
            "them would run what a stranger wrote."
        )
    size = max(math.prod(chunks), math.prod((chunks[0], *wanted))) * np.dtype(dtype).itemsize
    if shape[0] > _MOST_ROWS or size > _MOST_CHUNK:
        limits = f"at most {_MOST_ROWS:,} rows, and chunks of {_MOST_CHUNK:,} bytes, are read"
        raise DatasetError(f"{where}: {shape[0]:,} rows in chunks of {size:,} bytes; {limits}.")
    if about.get("filters") or about.get("order") != "C":
        found = f"filters {about.get('filters')!r:.80} and order {about.get('order')!r}"
        raise DatasetError(f"{where} has {found}; no filters and order 'C' are read.")
    separator = about.get("dimension_separator", ".")
    if separator not in (".", "/"):
        raise DatasetError(f"{where}: dimension_separator is {separator!r}; it must be '.' or '/'.")
    return ZarrArray(files, name, shape, chunks, np.dtype(dtype), _codec(where, about.get("compressor")), separator)


def _sizes(where: str, key: str, found: Any) -> tuple[int, ...]:
    counts = isinstance(found, list) and all(type(size) is int and size >= 0 for size in found)
    if not counts or not 1 <= len(found) <= _MOST_AXES:
        raise DatasetError(f"{where}: {key} is {found!r:.80}; it must be 1 to {_MOST_AXES} whole numbers.")
    return tuple(found)


def _codec(where: str, compressor: Any) -> Any:
    """What decodes chunks; None: they are stored as they are."""
    if compressor is None:
        return None
    name = compressor.get("id") if isinstance(compressor, dict) else compressor
    if name != "blosc":
        raise DatasetError(
            f"{where}: compressor is {name!r:.80}; 'blosc', as Diffusion Policy has it, and null are read."
        )
    return library("numcodecs", "a recording in zarr").Blosc()
