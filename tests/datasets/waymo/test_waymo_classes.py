"""Waymo's own generated classes and we read each other's bytes: theirs are committed, ours need their wheel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import waymo_wire as wire
from waymo_classes import COLORS, ORDER

from vla_datasets.waymo.frame import Calibration, Frame, Rated, frame_bytes
from vla_datasets.waymo.index import open_frames
from vla_datasets.waymo.jpeg import decode_jpeg
from vla_datasets.waymo.messages import MESSAGES
from vla_datasets.waymo.names import STATES, Camera, Intent
from vla_datasets.waymo.tfrecord import write_records

HERE = Path(__file__).parent
THEIRS = HERE / "theirs.tfrecord"  # by waymo_classes.py


def by_their_classes(command: str, path: Path) -> Any:
    """What their classes say of a file, in a process of its own: their protobuf is another one."""
    folder = os.environ.get("WAYMO_CLASSES")
    if not folder:
        pytest.skip("WAYMO_CLASSES names no folder of Waymo's generated classes; see waymo_classes.py")
    environment = os.environ | {"PYTHONPATH": folder, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    program = [sys.executable, HERE / "waymo_classes.py", command, path]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_what_their_classes_wrote() -> None:
    index = open_frames(THEIRS)
    assert [entry.name for entry in index.entries] == [
        "0123456789abcdef-003",
        "0123456789abcdef-042",
        "fedcba9876543210-007",
    ]
    hidden, frame, placeholder = (index.frame(number) for number in range(3))
    t = np.arange(16)
    columns = [(t - 15) / 2, (15 - t) / 2, np.full(16, 2), t / 4, -t / 8, np.ones(16)]
    assert STATES[2] == "velocity_x" and np.array_equal(frame.past, np.stack(columns, axis=1))
    n = np.arange(1, 21)
    assert np.array_equal(frame.future, np.stack([n / 2, n / 4], axis=1))  # type: ignore[arg-type]
    assert frame.intent is Intent.GO_LEFT
    assert [(rated.score, len(rated.points)) for rated in frame.rated] == [(9.0, 21), (0.0, 20), (4.5, 7)]
    assert frame.rated[0].points[-1].tolist() == [21.0, -2.5]
    assert list(frame.images) == [Camera(number) for number in ORDER]
    for camera, jpeg in frame.images.items():
        assert np.abs(decode_jpeg(jpeg, "").mean(axis=(0, 1)) - COLORS[camera]).max() < 4, camera
        calibration = frame.calibrations[camera]
        assert calibration.intrinsic.tolist() == [100 + camera, 200 + camera, 8, 4, 0.1, -0.2, 0.3, -0.4, 0.5]
        assert calibration.extrinsic.ravel().tolist() == [camera + k / 16 for k in range(16)]
        assert (calibration.width, calibration.height) == (16, 8)
    assert hidden.future is None and hidden.rated == () == placeholder.rated and placeholder.future is not None
    assert hidden.intent is placeholder.intent is Intent.UNKNOWN and list(hidden.images) == [Camera(ORDER[0])]


def test_the_committed_file_is_theirs() -> None:
    names = [record["name"] for record in by_their_classes("show", THEIRS)]
    assert names == ["0123456789abcdef-042", "fedcba9876543210-007", "0123456789abcdef-003"]


def test_their_classes_read_what_we_write(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = {camera: wire.jpeg(COLORS[camera]) for camera in (Camera.REAR_LEFT, Camera.FRONT, Camera.SIDE_RIGHT)}
    calibration = Calibration(rng.normal(size=9), rng.normal(size=(4, 4)), 384, 256)
    past = rng.normal(size=(16, 6)).astype(np.float32)
    future = rng.normal(size=(20, 2)).astype(np.float32)
    rated = [Rated(future + 1, 8.5), Rated(future[:7], 0.0)]
    frame = Frame("né-012", images, past, future, Intent.GO_RIGHT, rated, {Camera.REAR_LEFT: calibration})
    hidden = Frame("né-013", {}, past, None, Intent.UNKNOWN)
    write_records(tmp_path / "ours.tfrecord", [frame_bytes(frame), frame_bytes(hidden)])
    first, second = by_their_classes("show", tmp_path / "ours.tfrecord")
    assert (first["name"], first["intent"], first["strange"]) == ("né-012", "GO_RIGHT", 0)
    assert first["images"] == {camera.name: jpeg.hex() for camera, jpeg in images.items()}
    assert first["pose"] == first["poses"][2] == np.eye(4).ravel().tolist()
    fields = ("pos_x", "pos_y", "vel_x", "vel_y", "accel_x", "accel_y")
    assert [first["past"][name] for name in fields] == past.T.tolist() and first["past"]["pos_z"] == []
    assert [first["future"][name] for name in ("pos_x", "pos_y", "pos_z")] == [*future.T.tolist(), [0.0] * 20]
    assert [(r["score"], r["pos_x"], r["pos_y"]) for r in first["rated"]] == [
        (r.score, *r.points.T.tolist()) for r in rated
    ]
    stored = [*calibration.intrinsic, *calibration.extrinsic.ravel(), 384, 256]
    assert first["calibrations"] == {"REAR_LEFT": stored}
    assert (second["name"], second["intent"], second["images"]) == ("né-013", "UNKNOWN", {})
    assert second["future"]["pos_x"] == second["rated"] == []


def test_no_number_stands_for_two_fields() -> None:
    for name, fields in MESSAGES.items():
        assert len({number for _, number, _ in fields}) == len(fields), name
