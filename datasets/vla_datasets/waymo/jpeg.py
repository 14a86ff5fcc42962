"""Pictures as the set stores them, in JPEG: how big one is is known before it is decoded.

Not here: where the bytes come from (`frame.py`).
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from vla_datasets.errors import DatasetError

__all__ = ["decode_jpeg", "encode_jpeg"]

_MOST_PIXELS = 4096 * 4096
_QUALITY = 90
_BEGINS = b"\xff\xd8"  # every JPEG


def encode_jpeg(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A picture (height, width, 3) as JPEG."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="JPEG", quality=_QUALITY)
    return stream.getvalue()


def decode_jpeg(jpeg: bytes, where: str, size: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
    """A picture as (height, width, 3).

    Args:
        where: the beginning of messages.
        size: (width, height) to which it is resized, by the mean of the pixels (Pillow's box filter) where it becomes
            smaller; None leaves it as it is.

    Raises:
        DatasetError: it is no JPEG in colour, too large, or damaged.
    """
    if not jpeg.startswith(_BEGINS):
        begins = f"begins with {jpeg[:8].hex(' ')}" if jpeg else "has 0 bytes"
        raise DatasetError(f"{where} cannot be decoded: it {begins}, which is no JPEG. Get the file again.")
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
            if image.width * image.height > _MOST_PIXELS:  # looked at before decoding: no decompression bombs
                raise DatasetError(f"{where} has {image.width} x {image.height} pixels; at most {_MOST_PIXELS:,}.")
            if image.mode != "RGB":
                raise DatasetError(f"{where} has the colours {image.mode}; it must be RGB.")
            resized = image.resize(size, Image.Resampling.BOX) if size and size != image.size else image
            return np.array(resized, np.uint8)
    except DatasetError:
        raise
    except Image.DecompressionBombError as error:
        raise DatasetError(f"{where} cannot be decoded: it has more than {_MOST_PIXELS:,} pixels.") from error
    except Exception as error:  # pillow raises errors of many classes for damaged files, and its own for huge ones
        raise DatasetError(f"{where} cannot be decoded: {error}.") from error
