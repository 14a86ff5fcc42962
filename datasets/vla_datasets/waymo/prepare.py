"""Frames of Waymo's set in the prepared form: an episode for each segment, to train and validate on.

Not here: TFRecords (`index.py`), the prepared form (`lerobot/`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_datasets.errors import DatasetError
from vla_datasets.files import check_new_folder, whole_folder
from vla_datasets.keys import ACTION, STATE, image
from vla_datasets.lerobot.format import BOOKKEEPING, DatasetInfo, Feature
from vla_datasets.lerobot.png import encode_png
from vla_datasets.lerobot.writer import Episode, write_dataset
from vla_datasets.splits import check_fraction
from vla_datasets.waymo.frame import Frame
from vla_datasets.waymo.index import FrameIndex, open_frames
from vla_datasets.waymo.jpeg import decode_jpeg
from vla_datasets.waymo.metrics import RATERS, padded_raters
from vla_datasets.waymo.names import FRAME_NUMBER, FUTURE, INTENT, PAST, RATED, SCORES, STATES, Camera

__all__ = ["WORLD", "import_frames"]

WORLD = "waymo"  # as a set says, and a training config too
_FRAMES_PER_SECOND = 10  # numbers of frames in a segment
_FRAMES_PER_FILE = 500
_TASK = "drive along the route"


def import_frames(
    source: Path,
    out: Path,
    cameras: Sequence[Camera] = (Camera.FRONT,),
    size: tuple[int, int] | None = None,
    validation_fraction: float = 0.1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DatasetInfo:
    """Write the prepared set of a folder of TFRecords; what was written.

    Args:
        source: the folder, or one file.
        out: new folder of the set.
        cameras: whose pictures it gets.
        size: (width, height) to which pictures are resized; None leaves them, and all of a camera must be alike.
        validation_fraction: share of the segments that is held out, where the files' names do not say which.
        progress: called with the number of segments that are done, and of all.

    Raises:
        DatasetError: a record is damaged, or a frame lacks a picture or its future.
        CollectError: google-crc32c is not installed.
        OutputError: `out` is there already, or cannot be written; nothing is left behind.
    """
    check_fraction(validation_fraction)
    check_new_folder(out)
    index = open_frames(source)
    splits = _splits(index, validation_fraction)
    segments = [*splits["train"], *splits["val"]]
    pictures = _Pictures.like(index.frame(0), cameras, size)
    with whole_folder(out) as temporary:
        return write_dataset(
            temporary,
            _blocks(index, segments, pictures, lambda done: progress(done, len(segments))),
            _features(pictures),
            _FRAMES_PER_SECOND,
            robot_type=WORLD,
            splits={"train": (0, len(splits["train"])), "val": (len(splits["train"]), len(segments))},
            collection={
                "world": WORLD,
                "imported": source.resolve().name,
                "form": "Waymo's end-to-end TFRecords",
                "segments": segments,
            },
        )


def _splits(index: FrameIndex, fraction: float) -> dict[str, list[str]]:
    """Segments to train and to validate on.

    Raises:
        DatasetError: there are files of others, such as a test set's.
    """
    found = index.splits(fraction)
    if set(found) != {"train", "val"}:
        raise DatasetError(
            f"{index.root} has files of {' and '.join(sorted(found))}; give a folder of training and validation files, "
            "or of one kind."
        )
    return found


@dataclass(frozen=True)
class _Pictures:
    """Which pictures a set gets: width and height by camera, and whether others are resized to that."""

    sizes: Mapping[Camera, tuple[int, int]]
    resized: bool

    @classmethod
    def like(cls, frame: Frame, cameras: Sequence[Camera], size: tuple[int, int] | None) -> _Pictures:
        """Of one size, or of those of a frame."""
        if size:
            return cls(dict.fromkeys(cameras, size), True)
        shapes = {camera: decode_jpeg(*_jpeg(frame, camera)).shape for camera in cameras}
        return cls({camera: (width, height) for camera, (height, width, _) in shapes.items()}, False)

    def of(self, frame: Frame) -> dict[str, bytes]:
        """PNG by column."""
        found = {}
        for camera, size in self.sizes.items():
            jpeg, where = _jpeg(frame, camera)
            pixels = decode_jpeg(jpeg, where, size if self.resized else None)
            if pixels.shape[1::-1] != size:
                found_size = f"{pixels.shape[1]} x {pixels.shape[0]}"
                raise DatasetError(f"{where} has {found_size} pixels, others {size[0]} x {size[1]}; give --size.")
            found[image(camera.key)] = encode_png(pixels)
        return found


def _jpeg(frame: Frame, camera: Camera) -> tuple[bytes, str]:
    """A picture, and the beginning of messages about it."""
    if camera not in frame.images:
        has = ", ".join(found.key for found in sorted(frame.images)) or "none"
        raise DatasetError(f"frame {frame.name} has no picture of camera {camera.key}; it has {has}.")
    return frame.images[camera], f"frame {frame.name}, camera {camera.key}: the picture"


def _features(pictures: _Pictures) -> dict[str, Feature]:
    images = {
        image(camera.key): Feature("image", (height, width, 3), ("height", "width", "channels"))
        for camera, (width, height) in pictures.sizes.items()
    }
    return {
        **images,
        STATE: Feature("float32", (PAST, len(STATES)), ("moment", "state")),
        INTENT: Feature("int64", (1,)),
        ACTION: Feature("float32", (FUTURE, 2), ("moment", "axis")),
        RATED: Feature("float32", (RATERS, FUTURE, 2), ("rater", "moment", "axis")),
        SCORES: Feature("float32", (RATERS,)),
        FRAME_NUMBER: Feature("int64", (1,)),
        **BOOKKEEPING,
    }


def _blocks(
    index: FrameIndex, segments: Sequence[str], pictures: _Pictures, progress: Callable[[int], None]
) -> Iterator[list[Episode]]:
    """Episodes by data file, each of some hundred frames."""
    block: list[Episode] = []
    for number, segment in enumerate(segments):
        frames = ((index.entries[place].number, index.frame(place)) for place in index.segments[segment])
        block.append(_episode(number, frames, pictures))
        if number == len(segments) - 1 or sum(episode.length for episode in block) >= _FRAMES_PER_FILE:
            yield block
            block = []
        progress(number + 1)


def _episode(number: int, frames: Iterator[tuple[int, Frame]], pictures: _Pictures) -> Episode:
    columns: dict[str, list[Any]] = {name: [] for name in _features(pictures) if name not in BOOKKEEPING}
    for place, frame in frames:
        if frame.future is None:
            raise DatasetError(f"frame {frame.name}: its future is hidden, as in a test set; nothing can be learnt.")
        trajectories, scores = padded_raters([r.points for r in frame.rated], [r.score for r in frame.rated])
        values: dict[str, Any] = {
            **pictures.of(frame),
            STATE: frame.past,
            INTENT: int(frame.intent),
            ACTION: frame.future,
            RATED: trajectories,
            SCORES: scores,
            FRAME_NUMBER: place,
        }
        for name, value in values.items():
            columns[name].append(value)
    return Episode(number, _TASK, columns)
