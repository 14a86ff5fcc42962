"""Messages of openpi's protocol: msgpack, with numpy arrays as maps of dtype, shape and bytes.

The format is the one of `openpi_client.msgpack_numpy` 0.1 (Physical-Intelligence/openpi), so that its client works
unchanged. What arrives is untrusted: sizes are checked before anything is made of them, only numbers are taken, and
nothing is unpickled or evaluated. Not here: what a message means (`episode.py`), its largest size (`server.py`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np

from vlarun.errors import InputError

__all__ = ["pack", "unpack"]

_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")
_MOST_DIMENSIONS = 8
_MOST_NAMES = 4096  # of one map; a list may have as many items as its bytes allow
_ARRAY, _SCALAR = (b"__ndarray__", "__ndarray__"), (b"__npgeneric__", "__npgeneric__")


def pack(message: Mapping[str, Any]) -> bytes:
    """A reply as bytes; values are what msgpack knows, numpy's numbers and arrays of numbers."""
    packed: bytes = msgpack.packb(message, default=_plain)
    return packed


def unpack(data: bytes) -> dict[str, Any]:
    """A request: names and values, arrays as numpy's, read-only, in the byte order of this machine.

    Raises:
        InputError: no msgpack, no map of names, or an array that is not what it says.
    """
    try:
        found = msgpack.unpackb(data, object_hook=_array, strict_map_key=True, max_map_len=_MOST_NAMES, max_ext_len=0)
    except InputError:
        raise
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError, OverflowError) as error:
        reason = str(error) or type(error).__name__
        raise InputError(f"the message is no msgpack of an observation: {reason:.120}") from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise InputError(f"the message is {_kind(found)}; send a map of names to values")
    return found


def _plain(value: Any) -> Any:
    """What msgpack does not know: numpy's arrays and numbers, as the client reads them."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    raise TypeError(f"a reply cannot hold {type(value).__name__}")


def _array(found: dict[Any, Any]) -> Any:
    """A map of the message, or the array or number that it stands for."""
    if any(name in found for name in _ARRAY):
        return _numbers(found)
    if any(name in found for name in _SCALAR):
        data, dtype = _field(found, "data"), _dtype(found)
        if not isinstance(data, bool | int | float):
            raise InputError(f"a numpy number of the message holds {_kind(data)}; send a number")
        return dtype.type(data)
    return found


def _numbers(found: dict[Any, Any]) -> np.ndarray[Any, np.dtype[Any]]:
    data, shape, dtype = _field(found, "data"), _field(found, "shape"), _dtype(found)
    if not isinstance(data, bytes):
        raise InputError(f"the data of an array is {_kind(data)}; send its bytes")
    sizes = shape if isinstance(shape, list) else None
    if sizes is None or len(sizes) > _MOST_DIMENSIONS or not all(type(s) is int and s >= 0 for s in sizes):
        raise InputError(
            f"an array has the shape {shape!r:.80}; send at most {_MOST_DIMENSIONS} sizes, each at least 0"
        )
    if math.prod(sizes) * dtype.itemsize != len(data):
        raise InputError(
            f"an array of {dtype} {sizes} has {math.prod(sizes) * dtype.itemsize} bytes; the message holds {len(data)}"
        )
    array = np.frombuffer(data, dtype).reshape(sizes)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _dtype(found: dict[Any, Any]) -> np.dtype[Any]:
    text = _field(found, "dtype")
    if not isinstance(text, str) or not _DTYPE.fullmatch(text):
        raise InputError(f"an array has the dtype {text!r:.40}; send bool, integers or floats of up to 8 bytes")
    return np.dtype(text)


def _field(found: dict[Any, Any], name: str) -> Any:
    """A field of an array's map; its names come as bytes, or as text from clients in other languages."""
    value = found.get(name.encode(), found.get(name))
    if value is None:
        raise InputError(f"an array of the message has no '{name}'")
    return value


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
