"""Pictures as they are stored, in PNG: how big one is is known before it is decoded.

Not here: where the bytes come from (`reader.py`, `vla_datasets.import_`).
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vla_datasets.errors import DatasetError

__all__ = ["decode_png", "encode_png"]

_MAX_PNG_BYTES = 50_000_000


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A picture (height, width, channels) as PNG."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def decode_png(stored: Any, shape: tuple[int, ...], where: object) -> npt.NDArray[np.uint8]:
    """Decode one stored picture.

    Args:
        stored: the value of an image column, `{"bytes": PNG, "path": ...}`; paths are never followed.
        shape: expected (height, width, 3).
        where: the beginning of messages.

    Raises:
        DatasetError: there is no PNG, it is damaged, or of another shape.
    """
    png = stored.get("bytes") if isinstance(stored, dict) else None
    if not isinstance(png, bytes) or len(png) > _MAX_PNG_BYTES:
        raise DatasetError(f"{where}: an image has no PNG bytes in its parquet file (or over 50 MB).")
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            found = (image.height, image.width, len(image.getbands()))
            if found != shape:  # looked at before decoding: no decompression bombs
                raise DatasetError(f"{where}: an image is {found}, expected {shape}.")
            image.verify()  # checksums; a reader that skips them shows damaged pixels
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:  # verify() uses an image up
            return np.array(image, np.uint8)
    except DatasetError:
        raise
    except Exception as error:  # pillow raises errors of many classes for damaged files, and its own for huge ones
        raise DatasetError(f"{where}: an image cannot be decoded: {error}.") from error
