"""Pictures of an episode out of a video file, decoded by PyAV (the extra `import`).

Not here: which file, and where in it the episode begins (`lerobot_layout.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError
from vla_datasets.import_.recording import FPS, library

__all__ = ["read_pictures"]

_READS = "a recording whose pictures are videos"


def read_pictures(path: Path, begins: float, count: int, shape: tuple[int, ...]) -> Iterator[npt.NDArray[np.uint8]]:
    """The pictures (height, width, 3) of `count` frames from `begins` seconds on.

    Raises:
        DatasetError: there is no such video, it is damaged, of another size, or a frame is not there.
        CollectError: PyAV is not installed.
    """
    av = library("av", _READS)
    if not path.is_file():
        raise DatasetError(f"{path} does not exist; get the whole recording, videos too.")
    done = 0
    try:
        with av.open(str(path), format="mp4") as file:  # of no format that names other files
            for number, picture in _numbered(file, path, begins, shape):
                if number < done:  # before the episode: decoding begins at a whole picture
                    continue
                if number != done or done == count:
                    break
                yield picture
                done += 1
                if done == count:
                    return
    except (av.FFmpegError, ValueError) as error:
        raise DatasetError(f"{path} cannot be decoded: {error}. Get the file again.") from error
    raise DatasetError(f"{path} has no frame at {begins + done / FPS:.2f} s, the {done}th of {count} of an episode.")


def _numbered(file: Any, path: Path, begins: float, shape: tuple[int, ...]) -> Iterator[tuple[int, Any]]:
    """Frames from the last whole picture before `begins`, each with its number in the episode."""
    if not file.streams.video:
        raise DatasetError(f"{path} holds no video.")
    stream = file.streams.video[0]
    _check_size(path, stream.codec_context, shape)
    file.seek(int(begins / stream.time_base), stream=stream)
    for frame in file.decode(stream):
        _check_size(path, frame, shape)
        if frame.time is None:
            raise DatasetError(f"{path} has a frame without a time.")
        number = round((frame.time - begins) * FPS)
        yield number, frame.to_ndarray(format="rgb24") if number >= 0 else None


def _check_size(path: Path, pictured: Any, shape: tuple[int, ...]) -> None:
    if (pictured.height, pictured.width) != shape[:2]:
        raise DatasetError(f"{path} has pictures of {pictured.height} x {pictured.width}, not {shape[0]} x {shape[1]}.")
