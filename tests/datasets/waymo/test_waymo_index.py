"""The index of a folder of TFRecords: frames in the order of their segments, wherever they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import waymo_wire as wire

from vla_datasets.errors import DatasetError
from vla_datasets.waymo.index import open_frames, record_files


def named(*names: str) -> list[bytes]:
    return [wire.frame(name) for name in names]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Frames of three segments, shuffled over two files, as Waymo's are."""
    wire.write(tmp_path / "x.tfrecord-00000-of-00002", named("b-007", "a-010", "c-001", "a-002"))
    wire.write(tmp_path / "x.tfrecord-00001-of-00002", named("c-000", "b-1000", "a-009"))
    (tmp_path / "notes.txt").write_text("not one of them")
    (tmp_path / ".x.tfrecord.tmp").write_text("not yet one of them")
    return tmp_path


ORDER = ["a-002", "a-009", "a-010", "b-007", "b-1000", "c-000", "c-001"]


def test_every_frame_is_where_the_index_says(folder: Path) -> None:
    index = open_frames(folder)
    assert [entry.name for entry in index.entries] == ORDER
    assert index.segments == {"a": range(3), "b": range(3, 5), "c": range(5, 7)}
    for number in (6, 0, 3, 1, 5, 4, 2):
        assert index.frame(number).name == ORDER[number]
        record = index.entries[number].record
        assert record.path.read_bytes()[record.offset : record.offset + record.length] == wire.frame(ORDER[number])
    alone = open_frames(folder / "x.tfrecord-00000-of-00002")
    assert [entry.name for entry in alone.entries] == ["a-002", "a-010", "b-007", "c-001"]
    assert [path.name[15] for path in record_files(folder)] == ["0", "1"]


def test_shuffled(folder: Path) -> None:
    index = open_frames(folder)
    orders = [index.shuffled(seed).tolist() for seed in range(5)]
    assert all(sorted(order) == list(range(7)) for order in orders) and len({tuple(order) for order in orders}) > 3
    assert index.shuffled(3).tolist() == orders[3]


def test_splits_are_of_segments(folder: Path) -> None:
    assert open_frames(folder).splits(0.4) == {"train": ["a", "b"], "val": ["c"]}
    assert open_frames(folder).splits(0.7) == {"train": ["a"], "val": ["b", "c"]}


def test_splits_are_those_of_the_files(tmp_path: Path) -> None:
    wire.write(tmp_path / "training_2025.tfrecord-00000-of-00001", named("c-0", "d-0"))
    wire.write(tmp_path / "val_2025.tfrecord-00000-of-00001", named("b-0", "a-0"))
    assert open_frames(tmp_path).splits(0.1) == {"val": ["a", "b"], "train": ["c", "d"]}
    (tmp_path / "val_2025.tfrecord-00000-of-00001").unlink()
    assert open_frames(tmp_path).splits(0.5) == {"train": ["c"], "val": ["d"]}
    wire.write(tmp_path / "val.tfrecord", named("d-5"))
    with pytest.raises(DatasetError, match="segment d is in files of train and val"):
        open_frames(tmp_path).splits(0.5)


def test_files_of_which_some_say_no_split_are_refused(tmp_path: Path) -> None:
    """Held out would be the last segments of all: those of val would be learnt from."""
    for name, segment in (("training.tfrecord", "c"), ("val.tfrecord", "b"), ("more.tfrecord", "a")):
        wire.write(tmp_path / name, named(f"{segment}-0"))
    with pytest.raises(DatasetError, match=r"more\.tfrecord does not say which split it is of, and others do"):
        open_frames(tmp_path).splits(0.1)
    (tmp_path / "more.tfrecord").unlink()
    assert open_frames(tmp_path).splits(0.1) == {"val": ["b"], "train": ["c"]}


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no TFRecords"):
        open_frames(tmp_path)
    with pytest.raises(DatasetError, match=r"no\.tfrecord holds no TFRecords: it does not exist"):
        open_frames(tmp_path / "no.tfrecord")
    path = wire.write(tmp_path / "a.tfrecord", [])
    wire.write(tmp_path / "b.tfrecord", named("b-1"))  # of a download that broke off, one file may be there
    with pytest.raises(DatasetError, match=f"{path} has 0 bytes.* Get the file again"):
        open_frames(tmp_path)
    (tmp_path / "b.tfrecord").unlink()
    wire.write(path, named("a-1", "a-01"))
    with pytest.raises(DatasetError, match=f"{path}: record .*: frame a-01 is there already: {path}: record at"):
        open_frames(path)
    for name in ("a", "a-", "-1", "a-1b", "a-١"):
        wire.write(path, named(name))
        with pytest.raises(DatasetError, match=f"record at byte 0: its name is '{name}'; it must be a segment and a"):
            open_frames(path)
    wire.write(path, named("a-1", "a-2"))
    with pytest.raises(DatasetError, match="has one segment"):
        open_frames(path).splits(0.1)
    data = path.read_bytes()
    path.write_bytes(data[:-100] + b"!" + data[-99:])
    with pytest.raises(DatasetError, match=rf"{path}: record at byte {len(data) // 2}: its checksum does not fit"):
        open_frames(path)
