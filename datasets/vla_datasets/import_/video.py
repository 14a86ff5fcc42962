"""Pictures of an episode out of a video file, decoded by PyAV (the extra `import`).

Not here: which file, and where in it the episode begins (`lerobot_layout.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError
from vla_datasets.import_.recording import FPS, library

__all__ = ["opened_video", "read_pictures", "upright"]

_READS = "a recording whose pictures are videos"
_TURNS = ((1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))  # to the left by so many quarters, on the screen


def read_pictures(path: Path, begins: float, count: int, shape: tuple[int, ...]) -> Iterator[npt.NDArray[np.uint8]]:
    """The pictures (height, width, 3) of `count` frames from `begins` seconds on.

    Raises:
        DatasetError: there is no such video, it is damaged, of another size, or a frame is not there.
        CollectError: PyAV is not installed.
    """
    done = 0
    with opened_video(path, _READS) as file:
        for number, picture in _numbered(file, path, begins, shape):
            if number < done:  # before the episode: decoding begins at a whole picture
                continue
            if number != done or done == count:
                break
            yield picture
            done += 1
            if done == count:
                return
    raise DatasetError(f"{path} has no frame at {begins + done / FPS:.2f} s, the {done}th of {count} of an episode.")


@contextmanager
def opened_video(path: Path, reads: str) -> Iterator[Any]:
    """A file of PyAV that has a video, whose decoder refuses what is damaged instead of making up pictures.

    Args:
        reads: what is read, for messages.

    Raises:
        DatasetError: there is no such file, it holds no video, or cannot be decoded; inside the block, too.
        CollectError: PyAV is not installed.
    """
    av = library("av", reads)
    if not path.is_file():
        raise DatasetError(f"{path} does not exist; get the whole recording, videos too.")
    try:
        with av.open(str(path), format="mp4") as file:  # of no format that names other files
            if not file.streams.video:
                raise DatasetError(f"{path} holds no video.")
            file.streams.video[0].codec_context.options = {"err_detect": "explode"}
            yield file
    except (av.FFmpegError, ValueError) as error:
        raise DatasetError(f"{path} cannot be decoded: {error}. Get the file again.") from error


def upright(path: Path, frame: Any) -> npt.NDArray[np.uint8]:
    """A frame's picture (height, width, 3), turned as a player shows it: telephones store what they film lying.

    Raises:
        DatasetError: it is mirrored, or turned by another angle than quarters.
    """
    places = [np.frombuffer(side, "<i4")[[0, 1, 3, 4]] for side in frame.side_data if side.type.name == "DISPLAYMATRIX"]
    turned = tuple(int(v) for v in places[0] // 2**16) if places else (1, 0, 0, 1)
    if turned not in _TURNS:
        raise DatasetError(f"{path} is shown turned or mirrored by {turned}; write it upright.")
    return np.rot90(frame.to_ndarray(format="rgb24"), _TURNS.index(turned))


def _numbered(file: Any, path: Path, begins: float, shape: tuple[int, ...]) -> Iterator[tuple[int, Any]]:
    """Frames from the last whole picture before `begins`, each with its number in the episode."""
    stream = file.streams.video[0]
    _check_size(path, stream.codec_context, shape)
    file.seek(int(begins / stream.time_base), stream=stream)
    for frame in file.decode(stream):
        _check_size(path, frame, shape)
        if frame.time is None:
            raise DatasetError(f"{path} has a frame without a time.")
        number = round((frame.time - begins) * FPS)
        yield number, upright(path, frame) if number >= 0 else None


def _check_size(path: Path, pictured: Any, shape: tuple[int, ...]) -> None:
    if (pictured.height, pictured.width) != shape[:2]:
        raise DatasetError(f"{path} has pictures of {pictured.height} x {pictured.width}, not {shape[0]} x {shape[1]}.")
