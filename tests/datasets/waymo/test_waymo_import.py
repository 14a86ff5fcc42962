"""vla-collect import of Waymo's TFRecords: every frame is in the prepared set, in its segment's episode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import waymo_wire as wire

from vla_datasets.cli import main
from vla_datasets.errors import DatasetError
from vla_datasets.keys import ACTION, STATE, TASK, image, is_pad
from vla_datasets.lerobot.reader import open_dataset
from vla_datasets.lerobot.windows import load_windows
from vla_datasets.waymo import prepare
from vla_datasets.waymo.names import FRAME_NUMBER, INTENT, RATED, SCORES, Camera
from vla_datasets.waymo.prepare import import_frames
from vla_isa.errors import OutputError

FRONT, REAR = image("front"), image("rear")
NAMES = ["a-003", "c-000", "b-010", "a-012", "b-002", "c-002", "c-001"]


def color(name: str, camera: int) -> tuple[int, int, int]:
    return (NAMES.index(name) * 30, camera * 25, 100)


def record(
    name: str, size: tuple[int, int] = (16, 8), order: tuple[int, ...] = (8, 7, 1, 2), **fields: object
) -> bytes:
    """A frame that differs from every other one; its pictures are in an order of their own."""
    n = NAMES.index(name)
    rated = [wire.states(wire.future(n + 1.0)[:7], wire.PLACE, 3.0 + n)] if n % 2 else []
    values = {
        "past_states": wire.states(wire.past(n), wire.MOTION),
        "future_states": wire.states(wire.future(n), wire.PLACE),
        "intent": n % 4,
        "rated": rated,
    }
    images = [(camera, wire.jpeg(color(name, camera))) for camera in order]
    return wire.frame(name, images, **{**values, **fields})  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "in"
    source.mkdir()
    wire.write(source / "x.tfrecord-00000-of-00002", [record(name) for name in NAMES[:4]])
    wire.write(source / "x.tfrecord-00001-of-00002", [record(name, order=(1, 2, 7)) for name in NAMES[4:]])
    return source


def test_every_frame(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["import", str(folder), "--out", str(out), "--cameras", "rear,front"]) == 0
    assert capsys.readouterr().out == f"{out}: 3 segments, 7 frames, 1 held out (Waymo's end-to-end TFRecords)\n"
    dataset = open_dataset(out)
    assert dataset.info["collection"]["segments"] == ["a", "b", "c"] and dataset.info["fps"] == 10
    assert dataset.info["collection"]["world"] == dataset.info["robot_type"] == "waymo"
    keys = (FRONT, REAR, STATE, INTENT, ACTION, RATED, SCORES, FRAME_NUMBER)
    for split, names in (("train", ["a-003", "a-012", "b-002", "b-010"]), ("val", ["c-000", "c-001", "c-002"])):
        windows = load_windows(out, split, dict.fromkeys(keys, (0,)))
        assert len(windows) == len(names)
        found = windows.batch(np.arange(len(names)))
        for place, name in enumerate(names):
            n = NAMES.index(name)
            for key, camera in ((FRONT, 1), (REAR, 7)):
                picture = found[key][place, 0]
                assert picture.shape == (8, 16, 3)
                assert np.abs(picture.mean(axis=(0, 1)) - color(name, camera)).max() < 4, (name, key)
            assert np.array_equal(found[STATE][place, 0], wire.past(n))
            assert np.array_equal(found[ACTION][place, 0], wire.future(n)) and found[INTENT][place, 0] == n % 4
            assert found[FRAME_NUMBER][place, 0] == int(name[2:]) and not found[is_pad(ACTION)].any()
            if n % 2:
                points = wire.future(n + 1.0)[[*range(7), *[6] * 13]]
                assert np.array_equal(found[RATED][place, 0], [points] * 3)
            assert found[SCORES][place, 0].tolist() == [3.0 + n if n % 2 else -1.0] * 3
        assert set(found[TASK]) == {"drive along the route"}


def test_pictures_are_resized(folder: Path, tmp_path: Path) -> None:
    wire.write(folder / "y.tfrecord", [wire.frame("d-000", [(1, wire.jpeg((9, 9, 9), (32, 20)))])])
    info = import_frames(folder, tmp_path / "out", size=(4, 6), validation_fraction=0.5)
    assert info.splits == {"train": (0, 2), "val": (2, 4)} and info.features[FRONT].shape == (6, 4, 3)
    found = load_windows(tmp_path / "out", "val", {FRONT: (0,)}).batch(np.arange(4))[FRONT]
    assert np.abs(found[3].mean(axis=(0, 1, 2)) - 9).max() < 3 and found.shape == (4, 1, 6, 4, 3)
    with pytest.raises(DatasetError, match="frame d-000, camera front: the picture has 32 x 20 pixels, others 16 x 8"):
        import_frames(folder, tmp_path / "other")


def test_splits_are_those_of_the_files(folder: Path, tmp_path: Path) -> None:
    (folder / "x.tfrecord-00000-of-00002").unlink()
    (folder / "x.tfrecord-00001-of-00002").unlink()
    wire.write(folder / "training.tfrecord-00000-of-00001", [record(name) for name in ("c-000", "b-010", "c-001")])
    wire.write(folder / "val.tfrecord-00000-of-00001", [record("a-003")])
    info = import_frames(folder, tmp_path / "out")
    assert info.collection["segments"] == ["b", "c", "a"] and info.splits == {"train": (0, 2), "val": (2, 3)}
    wire.write(
        folder / "test.tfrecord-00000-of-00001", [record("a-012", future_states=b"").replace(b"a-012", b"z-012")]
    )
    with pytest.raises(DatasetError, match="has files of test and train and val; give a folder of training and"):
        import_frames(folder, tmp_path / "other")


def test_nothing_is_left_of_an_import_that_is_refused(folder: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    for payload, message, cameras in (
        (
            record("a-012", order=(2, 3)),
            "a-012 has no picture of camera front; it has front_left, front_right",
            (),
        ),
        (record("a-012", order=()), "frame a-012 has no picture of camera front; it has none", ()),
        (record("a-012", future_states=b""), "frame a-012: its future is hidden, as in a test set", ()),
        (wire.frame("a-012", [(1, b"no picture")]), "frame a-012, camera front: the picture cannot be decoded", ()),
        (record("a-012"), "frame a-012 has no picture of camera side_left", (Camera.FRONT, Camera.SIDE_LEFT)),
    ):
        wire.write(folder / "x.tfrecord-00000-of-00002", [payload, record("b-010"), record("c-000")])
        with pytest.raises(DatasetError, match=message):
            import_frames(folder, tmp_path / "out", cameras or (Camera.FRONT,))
        assert sorted(path.name for path in tmp_path.iterdir()) == before
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    with pytest.raises(OutputError, match="is there already"):
        import_frames(folder, tmp_path / "out")
    assert (tmp_path / "out" / "mine").read_text() == "kept"


def test_nothing_is_left_of_an_import_that_stops_half_way(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "_FRAMES_PER_FILE", 1)
    before, written = sorted(tmp_path.iterdir()), []
    records = [record("a-012"), record("b-010"), record("c-000", future_states=b"")]
    wire.write(folder / "x.tfrecord-00000-of-00002", records)

    def look(done: int, total: int) -> None:
        written.extend(path for path in tmp_path.rglob("file-*.parquet"))

    with pytest.raises(DatasetError, match="frame c-000: its future is hidden"):
        import_frames(folder, tmp_path / "out", progress=look)
    assert written and sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--cameras", "top"], 1, "there is no camera 'top'"),
        (["--size", "8"], 2, "--size is '8'"),
        (["--size", "0x8"], 1, "--size is 0x8; each side must be 1 to 4096 pixels"),
        (["--world", "pusht"], 2, "--world is for recordings of Push-T; these are Waymo's TFRecords"),
        (["--validation-fraction", "0"], 1, "--validation-fraction is 0.0"),
    ],
)
def test_options_that_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int, message: str
) -> None:
    assert main(["import", str(folder), "--out", str(tmp_path / "out"), *options]) == code
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_options_of_waymo_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    assert main(["import", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--cameras", "front"]) == 2
    assert "--cameras is for Waymo's TFRecords, and" in capsys.readouterr().err


def test_options_of_aloha_alone(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(folder), "--out", str(tmp_path / "out"), "--fps", "25"]) == 2
    assert "has Waymo's TFRecords; give it no option of ALOHA's episodes" in capsys.readouterr().err
