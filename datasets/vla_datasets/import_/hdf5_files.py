"""HDF5 files that anybody may have written: what is asked for is in the file itself, of a type and size that is read.

HDF5 can point into other files (links, external and virtual storage) and hold objects of any kind; neither is followed
or read. The library under h5py is a large program in C that reads what a stranger wrote.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError
from vla_datasets.import_.recording import library

__all__ = ["check_written", "flag", "members", "open_hdf5", "read", "stored"]

_DAMAGE = (OSError, KeyError, ValueError, RuntimeError, TypeError, MemoryError)  # what h5py raises for damaged files
_MOST_BYTES = 2**28  # of a chunk, which is unpacked as a whole, and of one read
_MOST_MEMBERS = 100


@contextlib.contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """An open `h5py.File`.

    Raises:
        DatasetError: it is none, or damaged.
        CollectError: h5py is not installed.
    """
    h5py = library("h5py", "a recording in HDF5")
    if not path.is_file():
        raise DatasetError(f"{path} is no file.")
    try:
        file = h5py.File(path, "r")
    except _DAMAGE as error:
        raise DatasetError(f"{path} is no HDF5, or damaged: {error}. Get the file again.") from error
    with file:
        yield file


def members(file: Any, name: str) -> list[str]:
    """Names in the group `name`; none where there is no such group.

    Raises:
        DatasetError: too many, or damaged.
    """
    group = _found(file, name)
    if group is None or isinstance(group, library("h5py", "HDF5").Dataset):
        return []
    try:
        count = len(group)
        if count <= _MOST_MEMBERS:
            return sorted(group)
    except _DAMAGE as error:
        raise DatasetError(f"{file.filename}: '{name}' is damaged: {error}. Get the file again.") from error
    raise DatasetError(f"{file.filename}: '{name}' has {count:,} members; at most {_MOST_MEMBERS} are read.")


def stored(file: Any, name: str) -> Any:
    """The dataset `name`, which is stored in this file, with values of a plain type.

    Raises:
        DatasetError: there is none, it is elsewhere, of objects, in huge chunks, or damaged.
    """
    found, where = _found(file, name), f"{file.filename}: '{name}'"
    if not isinstance(found, library("h5py", "HDF5").Dataset):
        raise DatasetError(f"{where} is missing; ALOHA's episodes have it.")
    try:
        kind, chunks, elsewhere = found.dtype.kind, found.chunks, bool(found.external) or found.is_virtual
        unknown = _unknown_filters(found)
    except _DAMAGE as error:
        raise DatasetError(f"{where} is of a type that is not read: {error}.") from error
    if elsewhere:
        raise DatasetError(f"{where} is stored in other files, which are not followed; copy it into this one.")
    if found.shape is None:
        raise DatasetError(f"{where} holds nothing.")
    if kind not in "fiuS":
        raise DatasetError(f"{where} is {found.dtype}; numbers and bytes of a fixed length are read, and no objects.")
    if chunks and int(np.prod(chunks, dtype=object)) * found.dtype.itemsize > _MOST_BYTES:
        raise DatasetError(f"{where} is in chunks of {list(chunks)}; a chunk may have {_MOST_BYTES:,} bytes.")
    if unknown:
        raise DatasetError(
            f"{where} is packed by {', '.join(unknown)}, which is not installed; pack it by gzip, or not at all, for "
            "example with 'h5repack -f NONE'."
        )
    return found


def _unknown_filters(dataset: Any) -> list[str]:
    """The filters that a dataset's chunks went through and that HDF5 has not here, by number."""
    available, made = library("h5py", "HDF5").h5z.filter_avail, dataset.id.get_create_plist()
    codes = [made.get_filter(number)[0] for number in range(made.get_nfilters())]
    return [f"filter {code}" for code in codes if not available(code)]


def check_written(file: Any, dataset: Any) -> None:
    """Refuse a dataset of which a part has no bytes in the file: HDF5 gives zeros for what nobody wrote.

    Raises:
        DatasetError: it was not written to its end, or it is damaged.
    """
    try:
        if dataset.chunks:  # those that there are, as HDF5's own answer looks for each that there should be
            wanted = [-(-size // side) for size, side in zip(dataset.shape, dataset.chunks, strict=True)]
            whole = dataset.id.get_num_chunks() == int(np.prod(wanted, dtype=object))
        else:
            whole = dataset.id.get_storage_size() > 0
    except _DAMAGE as error:
        raise DatasetError(f"{file.filename}: '{dataset.name}' is damaged: {error}. Get the file again.") from error
    if not whole:
        raise DatasetError(
            f"{file.filename}: '{dataset.name}' was not written to its end, so that HDF5 would give zeros for the "
            "rest; leave this episode out."
        )


def read(file: Any, dataset: Any, place: Any = ()) -> npt.NDArray[Any]:
    """Values of a dataset that `stored` gave, all or those at one place.

    Raises:
        DatasetError: more than is read, or damaged.
    """
    shape = dataset.shape if place == () else dataset.shape[1:]
    if int(np.prod(shape, dtype=object)) * dataset.dtype.itemsize > _MOST_BYTES:
        raise DatasetError(
            f"{file.filename}: '{dataset.name}' is {dataset.dtype} {list(dataset.shape)}; {_MOST_BYTES:,} bytes are "
            "read at a time."
        )
    try:
        return np.asarray(dataset[place])
    except _DAMAGE as error:
        raise DatasetError(f"{file.filename}: '{dataset.name}' is damaged: {error}. Get the file again.") from error


def flag(file: Any, name: str) -> bool | None:
    """The attribute `name` of the file, which is true or false; None where there is no such."""
    with contextlib.suppress(*_DAMAGE):
        attribute = file.attrs.get_id(name)
        if attribute.shape == () and attribute.dtype.kind in "biu":
            return bool(file.attrs[name])
    return None


def _found(file: Any, name: str) -> Any:
    """The object at a path of plain links; None where there is none.

    Raises:
        DatasetError: a part of the path is a link to another place or file.
    """
    h5py, found = library("h5py", "HDF5"), file
    for part in name.split("/"):
        try:
            link = found.get(part, getlink=True) if isinstance(found, h5py.Group) else None
            if link is None:
                return None
            if isinstance(link, h5py.HardLink):
                found = found[part]
                continue
        except _DAMAGE as error:
            raise DatasetError(f"{file.filename}: '{name}' is damaged: {error}. Get the file again.") from error
        raise DatasetError(
            f"{file.filename}: '{name}' is a link to elsewhere, which is not followed; copy what it names."
        )
    return found
