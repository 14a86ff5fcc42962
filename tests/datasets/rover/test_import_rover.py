"""Videos of a rover become a set: which frames, which label, and what is refused."""

from __future__ import annotations

import json
import pickle
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_datasets.errors import CollectError, DatasetError
from vla_datasets.import_.aloha import AlohaOptions
from vla_datasets.import_.write import import_recording
from vla_datasets.keys import ACTION
from vla_datasets.lerobot.windows import load_windows
from vla_datasets.worlds.registry import find_world
from vla_datasets.worlds.rover.names import IMAGE, TELEMETRY, WEIGHT

av = pytest.importorskip("av")
LABELS = {"risk_label": "high", "reason_label": "human", "action_label": "stop"}


def write_video(path: Path, greys: list[int], moments: list[int] | None = None) -> None:
    """A frame of 64 x 48 of each grey, its upper left quarter black; tenths of a second at which each is shown."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.bit_rate = 4_000_000
        for number, grey in enumerate(greys):
            picture = np.full((48, 64, 3), grey, np.uint8)
            picture[:24, :32] = 0
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = (moments or range(len(greys)))[number], Fraction(1, 10)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three samples: of 22 frames, of 3, and of 8 with one reading of telemetry."""
    root = tmp_path / "videos"
    samples: list[dict[str, Any]] = []
    for name, length in (("long", 22), ("short", 3), ("one", 8)):
        (root / name).mkdir(parents=True)
        write_video(root / name / "training.mp4", [10 * n + 20 for n in range(length)])
        readings = np.arange(8.0) if name == "one" else np.arange(length * 8.0).reshape(length, 8)
        np.save(root / name / "telemetry.npy", readings)
        samples.append({"id": name, **LABELS})
    samples[1] |= {"risk_label": "none", "reason_label": "unknown", "action_label": "continue", "weight": 0.25}
    (root / "samples.json").write_text(json.dumps(samples))
    return root


def test_frames_labels_and_weights(folder: Path, tmp_path: Path) -> None:
    info = import_recording(folder, tmp_path / "set", validation_fraction=0.3, aloha=AlohaOptions(size=(32, 24)))
    assert (info.total_episodes, info.total_frames, info.fps, info.robot_type) == (3, 24, 4, "rover")
    frames = load_windows(tmp_path / "set", "train", dict.fromkeys((IMAGE, TELEMETRY, WEIGHT, ACTION), (0,)))
    found = frames.batch(np.arange(16))
    assert found[IMAGE].shape == (16, 1, 24, 32, 3)
    greys = found[IMAGE][:, 0, 16:].mean(axis=(1, 2, 3))
    wanted = [20 + 10 * n for n in (0, 3, 6, 9, 12, 15, 18, 21)] + [20, 30, 40, 40, 40, 40, 40, 40]
    assert np.abs(greys - wanted).max() < 4
    assert found[TELEMETRY][:8, 0, 0].tolist() == [8.0 * n for n in (0, 3, 6, 9, 12, 15, 18, 21)]
    assert found[WEIGHT].ravel().tolist() == [0.0] * 7 + [1.0] + [0.0] * 7 + [0.25]
    assert found[ACTION][7, 0].tolist() == [3, 0, 2] and found[ACTION][15, 0].tolist() == [0, 3, 0]
    held_out = load_windows(tmp_path / "set", "val", {TELEMETRY: (0,)}).batch(np.arange(8))[TELEMETRY]
    assert (held_out == np.arange(8)).all()


def test_frames_are_spread_over_the_time_of_a_video(folder: Path, tmp_path: Path) -> None:
    """Telephones film as fast as there is light: what counts is when a picture is shown, not which one it is."""
    moments = [0, 1, 2, 3, 4, 5, 6, 7, 8, 35, 70]
    write_video(folder / "long" / "training.mp4", [20 * n + 20 for n in range(11)], moments)
    import_recording(folder, tmp_path / "set")
    found = load_windows(tmp_path / "set", "train", {IMAGE: (0,)}).batch(np.arange(8))[IMAGE]
    greys = found[:, 0, 60:].mean(axis=(1, 2, 3))
    assert np.abs(greys - [20, 180, 180, 200, 200, 200, 220, 220]).max() < 6


@pytest.mark.parametrize(
    ("matrix", "corner"),
    [((1, 0, 0, 1), (0, 0)), ((0, 1, -1, 0), (0, 1)), ((-1, 0, 0, -1), (1, 1)), ((0, -1, 1, 0), (1, 0))],
)
def test_pictures_stand_as_a_player_shows_them(
    folder: Path, tmp_path: Path, matrix: tuple[int, ...], corner: tuple[int, int]
) -> None:
    """Where the black corner is shown, below and right, of x' = a x + c y and y' = b x + d y (ISO 14496-12, tkhd)."""
    path = folder / "long" / "training.mp4"
    write_matrix(path, matrix)
    import_recording(folder, tmp_path / "set")
    found = load_windows(tmp_path / "set", "train", {IMAGE: (0,)}).batch(np.arange(8))[IMAGE][7, 0]
    quarters = {(row, column): found[row * 48 :, column * 48 :][:40, :40].mean() for row in (0, 1) for column in (0, 1)}
    assert min(quarters, key=lambda place: quarters[place]) == corner


def test_a_mirrored_video_is_refused(folder: Path, tmp_path: Path) -> None:
    write_matrix(folder / "long" / "training.mp4", (-1, 0, 0, 1))
    with pytest.raises(DatasetError, match=r"shown turned or mirrored by .*; write it upright"):
        import_recording(folder, tmp_path / "set")


def write_matrix(path: Path, matrix: tuple[int, ...]) -> None:
    a, b, c, d = (value << 16 for value in matrix)
    stored = bytearray(path.read_bytes())
    at = stored.find(b"tkhd") + 44  # behind its head and 40 bytes of its version 0
    stored[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(stored))


def test_frames_are_learnt_from_as_they_weigh(folder: Path, tmp_path: Path) -> None:
    import_recording(folder, tmp_path / "set", validation_fraction=0.3)
    shares = find_world("rover").frame_shares(tmp_path / "set", "train", "weight")
    assert shares.tolist() == [0.0] * 7 + [1.0] + [0.0] * 7 + [0.25]
    samples = json.loads((folder / "samples.json").read_text())
    (folder / "samples.json").write_text(json.dumps([one | {"weight": 0} for one in samples]))
    import_recording(folder, tmp_path / "none")
    with pytest.raises(DatasetError, match="and some above 0"):
        find_world("rover").frame_shares(tmp_path / "none", "train", "weight")


def test_a_pickle_is_never_read(folder: Path, tmp_path: Path) -> None:
    (folder / "samples.json").unlink()
    (folder / "samples.pkl").write_bytes(pickle.dumps([{"id": "one"}]))
    with pytest.raises(DatasetError, match="a pickle, which is not read"):
        import_recording(folder, tmp_path / "set")
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "../one"}, "it must be the name of its folder"),
        ({"id": "short"}, "names a sample twice"),
        ({"risk_label": "huge"}, "risk_label 'huge'; it must be one of none, low"),
        ({"weight": 2}, "the weight 2; it must be a number from 0 to 1"),
        ({"weight": True}, "the weight True"),
        ({"id": "missing"}, "training.mp4 does not exist"),
    ],
)
def test_lists_that_are_wrong(folder: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    samples = json.loads((folder / "samples.json").read_text())
    samples[0] |= change
    (folder / "samples.json").write_text(json.dumps(samples))
    with pytest.raises(DatasetError, match=message):
        import_recording(folder, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_files_that_are_wrong(folder: Path, tmp_path: Path) -> None:
    video, readings = folder / "long" / "training.mp4", folder / "long" / "telemetry.npy"
    whole, kept = video.read_bytes(), np.load(readings)
    video.write_bytes(whole[:300])
    with pytest.raises(DatasetError, match=r"training.mp4 (cannot be decoded|holds no video)"):
        import_recording(folder, tmp_path / "set")
    video.write_bytes(whole)
    damaged = bytearray(whole)
    damaged[-400:-200] = bytes(200)
    for parts in (whole[: len(whole) * 3 // 4], bytes(damaged)):  # a decoder would show what it has, or make it up
        video.write_bytes(parts)
        with pytest.raises(DatasetError, match=r"training.mp4 (cannot be decoded|is cut off).*Get the file again"):
            import_recording(folder, tmp_path / "set")
    video.write_bytes(whole)
    for values, message in ((kept[:, :7], r"must be \(8,\) or \(T, 8\)"), (kept * np.nan, "no finite numbers")):
        np.save(readings, values)
        with pytest.raises(DatasetError, match=message):
            import_recording(folder, tmp_path / "set")
    np.save(readings, np.array([{}] * 8, object), allow_pickle=True)
    with pytest.raises(DatasetError, match="cannot be read"):
        import_recording(folder, tmp_path / "set")
    with pytest.raises(CollectError, match="of the options they take --size alone"):
        import_recording(folder, tmp_path / "set", aloha=AlohaOptions(fps=25))
    (folder / "samples.json").write_text("{")
    with pytest.raises(DatasetError, match="cannot be read"):
        import_recording(folder, tmp_path / "set")
