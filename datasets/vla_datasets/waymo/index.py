"""The frames of a folder of TFRecords: where each is, to read any of them in any order.

A file of Waymo's holds frames of many segments, shuffled; a segment's frames are in many files. So the index is made of
all files, in the order of segments and frames, and splits are of whole segments.

Not here: what a frame is (`frame.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError
from vla_datasets.splits import hold_out
from vla_datasets.waymo.frame import Frame, parse_frame
from vla_datasets.waymo.tfrecord import Record, read_payload, scan

__all__ = ["Entry", "FrameIndex", "open_frames", "record_files"]

_NAME = re.compile(r"(.+)-(\d{1,9})", re.ASCII)
_SPLITS = {"train": "train", "val": "val", "test": "test"}  # by how a file's name begins


@dataclass(frozen=True)
class Entry:
    """A frame: its segment, its number in it (tenths of a second), and where it is."""

    segment: str
    number: int
    name: str
    record: Record


@dataclass(frozen=True)
class FrameIndex:
    """All frames of a set, in the order of segments and of numbers in them.

    Attributes:
        root: the folder or file.
        entries: where each frame is.
        segments: of each segment the range of its entries.
    """

    root: Path
    entries: Sequence[Entry]
    segments: Mapping[str, range]

    def __len__(self) -> int:
        return len(self.entries)

    def frame(self, number: int) -> Frame:
        """Read one frame.

        Raises:
            DatasetError: its record is damaged or gone.
        """
        record = self.entries[number].record
        return parse_frame(read_payload(record), record.where)

    def shuffled(self, seed: int) -> npt.NDArray[np.int64]:
        """The numbers of all entries in an order that depends on the seed alone."""
        return np.random.default_rng(seed).permutation(len(self.entries)).astype(np.int64)

    def splits(self, fraction: float) -> dict[str, list[str]]:
        """Segments by split: as the names of the files say (`training_...`, `val_...`), where they say several; else
        the last `fraction` of the segments is "val".

        Raises:
            DatasetError: a segment is in files of two splits, some files say a split and others none, or there is one
                segment only.
        """
        found: dict[str, list[str]] = {}
        for segment, numbers in self.segments.items():
            named = {_split_of(self.entries[number].record.path) for number in numbers}
            if len(named) > 1:
                raise DatasetError(f"{self.root}: segment {segment} is in files of {' and '.join(sorted(named))}.")
            found.setdefault(named.pop(), []).append(segment)
        if len(found) > 1 and "" in found:
            path = self.entries[self.segments[found[""][0]].start].record.path
            raise DatasetError(
                f"{self.root}: {path.name} does not say which split it is of, and others do. Let its name begin with "
                f"{', '.join(_SPLITS)}."
            )
        if len(found) > 1:
            return found
        if len(self.segments) < 2:
            raise DatasetError(f"{self.root} has one segment; a set to learn from has 2 or more (one is held out).")
        names = list(self.segments)
        return {name: names[slice(*ends)] for name, ends in hold_out(len(names), fraction).items()}


def record_files(root: Path) -> list[Path]:
    """The TFRecords of a folder, or a file that is one by its name; none where there are none."""
    if root.is_dir():
        return sorted(path for path in root.iterdir() if ".tfrecord" in path.name and not path.name.startswith("."))
    return [root] if ".tfrecord" in root.name and root.is_file() else []


def open_frames(root: Path) -> FrameIndex:
    """Index a folder of TFRecords, or one file. Every record is read once, its checksums and fields looked at.

    Raises:
        DatasetError: there are none, or one is damaged; says which, and at which byte.
    """
    files = record_files(root)
    if not files:
        why = "no file is called *.tfrecord*" if root.exists() else "it does not exist"
        raise DatasetError(f"{root} holds no TFRecords: {why}.")
    if empty := [path for path in files if path.is_file() and path.stat().st_size == 0]:
        raise DatasetError(f"{empty[0]} has 0 bytes: no record of it came. Get the file again, or take it away.")
    entries = [_entry(record) for path in files for record in scan(path)]
    entries.sort(key=lambda entry: (entry.segment, entry.number))
    segments: dict[str, range] = {}
    for position, entry in enumerate(entries):
        before = entries[position - 1] if position else None
        if before and (before.segment, before.number) == (entry.segment, entry.number):
            raise DatasetError(f"{entry.record.where}: frame {entry.name} is there already: {before.record.where}.")
        first = segments[entry.segment].start if entry.segment in segments else position
        segments[entry.segment] = range(first, position + 1)
    return FrameIndex(root, tuple(entries), segments)


def _entry(record: Record) -> Entry:
    name = parse_frame(read_payload(record), record.where).name
    match = _NAME.fullmatch(name)
    if match is None:
        raise DatasetError(f"{record.where}: its name is '{name}'; it must be a segment and a number, 'abc-012'.")
    return Entry(match[1], int(match[2]), name, record)


def _split_of(path: Path) -> str:
    return next((split for begin, split in _SPLITS.items() if path.name.startswith(begin)), "")
