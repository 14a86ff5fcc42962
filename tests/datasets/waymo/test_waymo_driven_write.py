"""vla-collect waymo: files of segments, whole or not there, the same bytes each time, and read by everybody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_waymo_classes import by_their_classes

from vla_datasets.cli import main
from vla_datasets.errors import CollectError, DatasetError
from vla_datasets.waymo.driven.write import WriteOptions, write_driven
from vla_datasets.waymo.index import open_frames
from vla_datasets.waymo.names import Camera

SMALL = ["waymo", "--level", "clear", "--segments", "3", "--frames", "2", "--size", "24x16", "--workers", "1"]
NAMES = ["training.tfrecord-00000-of-00001", "val.tfrecord-00000-of-00001"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("driven") / "set"
    assert main([*SMALL, "--cameras", "rear,front", "--out", str(out)]) == 0
    return out


def test_what_is_written(made: Path) -> None:
    index = open_frames(made)
    assert sorted(path.name for path in made.iterdir()) == [*NAMES, "waymo.json"]
    assert index.splits(0.5) == {
        "train": ["driving-0-000000", "driving-0-000001"],
        "val": ["driving-0-000002"],
    }
    frames = [index.frame(number) for number in range(6)]
    assert [bool(frame.rated) for frame in frames] == [False] * 4 + [True] * 2
    assert all(set(frame.images) == set(frame.calibrations) == {Camera.REAR, Camera.FRONT} for frame in frames)
    assert all(frame.future is not None and 0 < abs(frame.future).max() < 60 for frame in frames)
    assert json.loads((made / "waymo.json").read_text())["cameras"] == "rear,front"


def test_it_goes_on_to_the_same_bytes(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {name: (made / name).read_bytes() for name in NAMES}
    (made / NAMES[1]).unlink()
    (made / NAMES[0]).write_bytes(b"kept")
    command = [*SMALL, "--cameras", "rear,front", "--out", str(made)]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith(f"{made}: 3 segments, 6 frames in 2 files (")
    assert (made / NAMES[0]).read_bytes() == b"kept"
    (made / NAMES[0]).write_bytes(before[NAMES[0]])
    assert (made / NAMES[1]).read_bytes() == before[NAMES[1]]
    assert main([*command, "--seed", "1"]) == 1
    assert f"{made} holds another set" in capsys.readouterr().err
    (made / "waymo.json").write_text("{")
    assert main(command) == 1
    assert "waymo.json is damaged" in capsys.readouterr().err
    (made / "waymo.json").unlink()
    assert main(command) == 1
    assert f"{made} holds TFRecords of another set" in capsys.readouterr().err


def test_their_classes_read_it(made: Path) -> None:
    for record in by_their_classes("show", made / NAMES[1]):
        assert list(record["images"]) == list(record["calibrations"]) == ["REAR", "FRONT"]
        assert record["intent"] in ("GO_STRAIGHT", "GO_LEFT", "GO_RIGHT") and record["strange"] == 0
        assert len(record["past"]["accel_y"]) == 16 and len(record["future"]["pos_z"]) == 20
        assert 1 <= len(record["rated"]) <= 3 and all(len(rated["pos_x"]) == 20 for rated in record["rated"])


def test_the_files_of_a_set() -> None:
    files = WriteOptions(segments=40, validation_fraction=0.3).files()
    assert files == {
        "training.tfrecord-00000-of-00003": ("train", range(10)),
        "training.tfrecord-00001-of-00003": ("train", range(10, 20)),
        "training.tfrecord-00002-of-00003": ("train", range(20, 28)),
        "val.tfrecord-00000-of-00002": ("val", range(28, 38)),
        "val.tfrecord-00001-of-00002": ("val", range(38, 40)),
    }


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--level", "snow"], 1, "Unknown driving level 'snow'"),
        (["--cameras", "front,top"], 1, "there is no camera 'top'; there are all, or front, front_left"),
        (["--cameras", "front,front"], 1, "camera 'front' is there twice"),
        (["--cameras", ""], 1, "there is no camera ''"),
        (["--size", "384"], 2, "--size is '384'; it must be width x height"),
        (["--size", "4x256"], 1, "--size is 4x256; each side must be 8 to 2048"),
        (["--segments", "1"], 1, "--segments is 1; it must be 2 to"),
        (["--frames", "101"], 1, "--frames is 101; it must be 1 to 100"),
        (["--validation-fraction", "1"], 1, "--validation-fraction is 1.0"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int, message: str
) -> None:
    assert main([*SMALL, "--out", str(tmp_path / "out"), *options]) == code
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_options_from_python(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no camera 'top'"):
        WriteOptions(cameras="top")
    with pytest.raises(CollectError, match="--seed is -1"):
        write_driven(WriteOptions(seed=-1), tmp_path)
