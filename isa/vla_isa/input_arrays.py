"""One reading of a user's arrays, for calibration and for runs: names, shapes and dtypes mean the same in both.

Numbers of any dtype are real values of the model's input and must lie in its dtype. An array has the input's own
shape, or N on axis 0 where that is 1, or one more leading axis N; then there are N runs (or samples). An array of an
input without such an axis, in its own shape, is given to every run. Files are checked by their headers, before any
element is unpacked. Not here: what is done with the values.
"""

from __future__ import annotations

import contextlib
import lzma
import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.errors import InputError, did_you_mean
from vla_isa.signature import Value

__all__ = ["MAX_ARRAY_BYTES", "Runs", "names_of", "read_all", "read_npz", "read_runs", "run_count"]

Array = NDArray[Any]
MAX_ARRAY_BYTES = 1 << 33  # of one array in a file
_DAMAGED = (  # what zipfile, its decompressors and numpy's reader of headers raise; RuntimeError: a password is needed
    *(ValueError, EOFError, TypeError, KeyError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError),
)


@dataclass(frozen=True)
class Runs:
    """Arrays of `count` runs: run i takes item i of the `stacked` inputs; `many` where the user gave a run axis."""

    arrays: Mapping[str, Array]
    stacked: frozenset[str]
    count: int
    many: bool

    def items(self) -> Iterator[dict[str, Array]]:
        """The inputs of each run, in the model's shapes."""
        for i in range(self.count):
            yield {name: np.asarray(a[i]) if name in self.stacked else a for name, a in self.arrays.items()}

    def joined(self, results: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
        """The results of all runs: one after the other on axis 0 where it is 1, else on a new axis in front.

        No result shares memory with an input.

        Raises:
            InputError: a result has another size in another run.
        """
        for name in results[0]:
            if len({r[name].shape for r in results}) > 1:
                raise InputError(f"output '{name}' has another size in every run; give one input at a time")
        return {name: self._joined([r[name] for r in results]) for name in results[0]}

    def _joined(self, arrays: list[Array]) -> Array:
        first = arrays[0]
        along = first.ndim > 0 and first.shape[0] == 1
        if len(arrays) > 1:
            return np.concatenate(arrays) if along else np.stack(arrays)
        whole = first if along or not self.many else first[None]
        return whole.copy() if any(np.may_share_memory(whole, given) for given in self.arrays.values()) else whole


def read_runs(wanted: Sequence[Value], given: Mapping[str, Any], optional: Collection[str] = ()) -> Runs:
    """Check a user's arrays and take them as runs; what is `optional` and not given is zero.

    Raises:
        InputError: the first thing that is wrong, with what was expected.
    """
    if not isinstance(given, Mapping):
        raise InputError(f"the inputs are {type(given).__name__}; give a mapping of input names to arrays")
    _check_names(wanted, given, optional)
    arrays: dict[str, Array] = {}
    counts: dict[str, int] = {}
    many = False
    for value in wanted:
        if value.name not in given:
            arrays[value.name] = np.zeros(value.shape, value.dtype)
            continue
        array = _converted(value, _array(value, given[value.name]))
        count = run_count(value, array.shape)
        own = array.shape == value.shape
        if count is not None:
            counts[value.name] = count
            array = array.reshape(count, *value.shape)
        many |= not own
        arrays[value.name] = array
    if len(set(counts.values())) > 1:
        found = ", ".join(f"'{name}' {n}" for name, n in counts.items())
        raise InputError(f"inputs disagree on how often to run: {found}. Give all the same number")
    return Runs(arrays, frozenset(counts), next(iter(counts.values()), 1), many)


def run_count(value: Value, shape: tuple[int, ...]) -> int | None:
    """How many runs an array of `shape` holds; None where it has the input's own shape without a run axis.

    Raises:
        InputError: the shape is none that fits.
    """
    want = value.shape
    batch = bool(want) and want[0] == 1
    if shape == want:
        return 1 if batch else None
    if len(shape) == len(want) + 1 and shape[1:] == want and shape[0] > 0:
        return shape[0]
    if batch and len(shape) == len(want) and shape[1:] == want[1:] and shape[0] > 0:
        return shape[0]
    also = [f"[{', '.join(map(str, ('N', *want)))}]"]
    if batch:
        also.insert(0, f"[{', '.join(map(str, ('N', *want[1:])))}]")
    raise InputError(
        f"input '{value.name}' has shape {list(shape)}; expected {list(want)}, or {' or '.join(also)} for N runs"
    )


def _check_names(wanted: Sequence[Value], given: Collection[str], optional: Collection[str]) -> None:
    names = [v.name for v in wanted]
    text = ", ".join(f"'{v.name}' {v.dtype} {list(v.shape)}" for v in wanted)
    for name in given:
        if name not in names:
            raise InputError(f"unknown input '{name}'; the inputs are {text}.{did_you_mean(str(name), names)}")
    missing = [name for name in names if name not in given and name not in optional]
    if missing:
        raise InputError(f"input {', '.join(map(repr, missing))} is missing; the inputs are {text}")


def _array(value: Value, given: Any) -> Array:
    try:
        return np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as e:
        raise InputError(f"input '{value.name}' is no array: {e}") from e


def _converted(value: Value, array: Array) -> Array:
    """The array in the input's dtype; every value keeps its meaning, or is refused."""
    where, dtype = f"input '{value.name}'", np.dtype(value.dtype)
    if array.dtype.kind not in "fiub":
        raise InputError(f"{where} has dtype {array.dtype}; give numbers")
    if array.dtype.kind == "f":
        _refuse_any(~np.isfinite(array), array, where, "every value must be finite; a mask may use -1e9 for -inf")
    if dtype.kind == "f":
        if array.dtype == dtype:
            return array
        with np.errstate(over="ignore"):
            found = array.astype(dtype)
        _refuse_any(~np.isfinite(found), array, where, f"{dtype} holds no such number")
        return found
    if array.dtype.kind == "f":
        _refuse_any(array != np.rint(array), array, where, f"the model's input is {dtype}: give whole numbers")
    low, high = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    if array.size and (int(array.min()) < low or int(array.max()) > high):
        bad = array.min() if int(array.min()) < low else array.max()
        raise InputError(f"{where} holds {bad}, outside {low}..{high} of the model's input, which is {dtype}")
    return array.astype(dtype)


def _refuse_any(bad: NDArray[np.bool_], array: Array, where: str, why: str) -> None:
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InputError(f"{where} is {array[at]} at {list(at)}; {why}")


def read_npz(path: str | Path, wanted: Sequence[Value], optional: Collection[str] = ()) -> dict[str, Array]:
    """The arrays of an .npz file for `wanted`; names, shapes and sizes are checked before elements are unpacked.

    Raises:
        InputError: missing, damaged, no .npz, pickled objects, or arrays that `read_runs` refuses by name or shape.
    """
    known = {v.name: v for v in wanted}
    with _opened(path) as (archive, members):
        _check_names(wanted, members, optional)
        return {name: _member(archive, info, name, known[name]) for name, info in members.items()}


def read_all(path: str | Path) -> dict[str, Array]:
    """Every array of an .npz file, of inputs that are not known yet; see `read_npz`."""
    with _opened(path) as (archive, members):
        return {name: _member(archive, info, name) for name, info in members.items()}


def names_of(path: str | Path) -> set[str]:
    """The names of the arrays of an .npz file; see `read_npz`."""
    with _opened(path) as (_, members):
        return {*members}


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """The file and its members by array name; whatever is wrong with them in the block is one error."""
    try:
        if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
            raise InputError("it is a device or a pipe; give a file")  # there may be no end of it
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if len(members) < len(archive.infolist()):
                raise InputError("an array is in the file twice; write it with numpy.savez(path, name=array)")
            yield archive, members
    except OSError as e:
        raise InputError(f"'{path}' cannot be read: {e.strerror or e}") from e
    except InputError as e:
        raise InputError(f"'{path}': {e}") from e
    except _DAMAGED as e:
        raise InputError(
            f"'{path}' is no whole .npz file of plain arrays; write it with numpy.savez(path, name=array)"
        ) from e


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, value: Value | None = None) -> Array:
    """One array, for the input `value` where it is known."""
    form = np.lib.format
    with archive.open(info) as f:
        read = form.read_array_header_1_0 if form.read_magic(f) == (1, 0) else form.read_array_header_2_0
        shape, _, dtype = read(f)
        size = math.prod(shape) * dtype.itemsize
        if dtype.hasobject or info.file_size - f.tell() != size:
            raise ValueError("pickled objects, or another length than the header says")
    if dtype.kind not in "fiub":
        raise InputError(f"input '{name}' has dtype {dtype}; give numbers")
    if value is not None:
        run_count(value, shape)
    if size > MAX_ARRAY_BYTES:
        raise InputError(f"input '{name}' has {size} bytes; the limit is {MAX_ARRAY_BYTES}, give fewer runs")
    with archive.open(info) as f:
        return np.asarray(form.read_array(f, allow_pickle=False))
