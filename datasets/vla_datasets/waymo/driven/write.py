"""Write a set in Waymo's format: files of ten segments, in parallel, resumably, with bytes that depend on no worker.

    training.tfrecord-00000-of-00027    segments whose routes are those of demonstrations
    val.tfrecord-00000-of-00003         segments with ways through junctions that the others lack, rated
    waymo.json                          how the set was made

A file that is there is kept; another set is not mixed in. Not here: what a segment is (`segments.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from vla_datasets.engine import ALONE, Engine
from vla_datasets.errors import CollectError
from vla_datasets.files import write_json
from vla_datasets.splits import check_fraction, hold_out
from vla_datasets.waymo.driven.segments import Recorder
from vla_datasets.waymo.frame import frame_bytes
from vla_datasets.waymo.index import record_files
from vla_datasets.waymo.names import Camera, cameras_called
from vla_datasets.waymo.tfrecord import write_records
from vla_datasets.worlds.driving.levels import read_level
from vla_isa.documents import read_json
from vla_isa.files import make_folder

__all__ = ["WriteOptions", "write_driven"]

_SEGMENTS_PER_FILE = 10
_MARK = "waymo.json"
_FILES = {"train": "training", "val": "val"}  # split of a route -> how Waymo calls its files
_SMALLEST, _LARGEST = 8, 2048  # pixels of a picture's side


@dataclass(frozen=True)
class WriteOptions:
    """What to write. Equal options give equal bytes.

    Attributes:
        level: of the driving world.
        segments: how many; the last ones are val.
        frames: of each segment.
        cameras: keys of `Camera`, or "all".
        width, height: pixels of a picture.

    Raises:
        CollectError: one is not what it must be.
        DatasetError: there is no such camera.
    """

    level: str = "clear+traffic"
    segments: int = 100
    frames: int = 10
    cameras: str = "all"
    width: int = 384
    height: int = 256
    seed: int = 0
    validation_fraction: float = 0.1

    def __post_init__(self) -> None:
        read_level("driving", self.level)
        cameras_called(self.cameras)
        check_fraction(self.validation_fraction)
        for name, low, high in (("segments", 2, 1_000_000), ("frames", 1, 100), ("seed", 0, 2**31)):
            if not low <= getattr(self, name) <= high:
                raise CollectError(f"--{name} is {getattr(self, name)}; it must be {low:,} to {high:,}.")
        if not (_SMALLEST <= self.width <= _LARGEST and _SMALLEST <= self.height <= _LARGEST):
            raise CollectError(
                f"--size is {self.width}x{self.height}; each side must be {_SMALLEST} to {_LARGEST} pixels."
            )

    def files(self) -> dict[str, tuple[str, range]]:
        """By name of file the split and the numbers of its segments."""
        found = {}
        for split, ends in hold_out(self.segments, self.validation_fraction).items():
            blocks = [range(n, min(n + _SEGMENTS_PER_FILE, ends[1])) for n in range(*ends, _SEGMENTS_PER_FILE)]
            for number, block in enumerate(blocks):
                found[f"{_FILES[split]}.tfrecord-{number:05d}-of-{len(blocks):05d}"] = (split, block)
        return found


def write_driven(
    options: WriteOptions,
    out: Path,
    engine: Engine = ALONE,
    progress: Callable[[int], None] = lambda segments: None,
) -> int:
    """Write the files that are missing at `out`; how many files there are.

    Args:
        progress: called with the number of segments just written (or found written).

    Raises:
        CollectError: the folder holds another set, or the expert fails on this level.
        OutputError: it cannot be written.
    """
    make_folder(out)
    _claim(options, out)
    engine.check()
    files = options.files()
    missing = [name for name in files if not (out / name).exists()]
    progress(sum(len(numbers) for name, (_, numbers) in files.items() if name not in missing))
    for done, _ in engine.run(_write_file, [(options, out / name, *files[name]) for name in missing]):
        progress(len(files[missing[done]][1]))
    return len(files)


def _claim(options: WriteOptions, out: Path) -> None:
    """Mark `out` as this set's, or refuse it if it is another one's."""
    mark = out / _MARK
    if not mark.exists():
        if record_files(out):
            raise CollectError(f"{out} holds TFRecords of another set; choose another --out.")
        write_json(mark, asdict(options))
        return
    try:
        found = read_json(mark)
    except (OSError, ValueError) as error:
        raise CollectError(f"{mark} is damaged ({error}); choose another --out.") from error
    if found != asdict(options):
        raise CollectError(f"{out} holds another set ({found}), not {asdict(options)}; choose another --out.")


def _write_file(options: WriteOptions, path: Path, split: str, numbers: range) -> None:
    """One file; runs in a worker."""
    cameras: tuple[Camera, ...] = cameras_called(options.cameras)
    with contextlib.closing(Recorder(options.level, cameras, options.width, options.height)) as recorder:
        write_records(
            path,
            (
                frame_bytes(frame)
                for number in numbers
                for frame in recorder.segment(options.seed, number, split, options.frames)
            ),
        )
