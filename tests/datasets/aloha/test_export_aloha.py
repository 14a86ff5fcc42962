"""A prepared set as ALOHA's HDF5, read by h5py and Pillow alone, and back."""

from __future__ import annotations

import io
import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from recorded_aloha import truth, write_recording

from vla_datasets.cli import main
from vla_datasets.errors import DatasetError
from vla_datasets.export.aloha import export_aloha
from vla_datasets.import_.aloha import AlohaOptions
from vla_datasets.import_.write import import_recording
from vla_datasets.keys import ACTION, STATE, image
from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.lerobot.png import encode_png
from vla_datasets.lerobot.writer import Episode, write_dataset
from vla_datasets.unified.robots import find_robot
from vla_isa.errors import OutputError

h5py = pytest.importorskip("h5py", reason="pip install .[import]")
LENGTHS = (6, 4, 5)


def write_set(
    root: Path,
    tasks: tuple[str, ...] = ("pass", "pass", "pass"),
    level: bool = True,
    third: str = "x",
    joints: tuple[str, ...] | None = None,
) -> None:
    """What `truth` holds, as a set with three cameras, one of which ALOHA has no name for."""
    names = {"cam_high": "top", "cam_left_wrist": "left_wrist", "cam_right_wrist": third}
    shape = (24, 32, 3)
    features = {image(ours): Feature("image", shape) for ours in names.values()}
    features |= {STATE: Feature("float32", (14,), joints), ACTION: Feature("float32", (14,), joints), **BOOKKEEPING}
    made = []
    for number, (length, task) in enumerate(zip(LENGTHS, tasks, strict=True)):
        values = truth(number, length)
        pictures = {image(o): [encode_png(p) for p in values["images"][t]] for t, o in names.items()}
        made.append(Episode(number, task, {**pictures, STATE: values["qpos"], ACTION: values["action"]}))
    collection = {"level": "transfer"} if level else {}
    write_dataset(root, [made], features, 25, "aloha", {"train": (0, 2), "val": (2, 3)}, collection)


@pytest.mark.parametrize("raw", [True, False])
def test_every_value(tmp_path: Path, raw: bool, capsys: pytest.CaptureFixture[str]) -> None:
    write_set(tmp_path / "set")
    options = ["--raw"] if raw else []
    assert main(["hdf5", str(tmp_path / "set"), "--out", str(tmp_path / "out"), *options]) == 0
    assert "out: 3 episodes of ALOHA's HDF5" in capsys.readouterr().out
    for number, length in enumerate(LENGTHS):
        values = truth(number, length)
        with h5py.File(tmp_path / "out" / f"episode_{number}.hdf5") as file:
            assert bool(file.attrs["sim"]) and bool(file.attrs["compress"]) == (not raw)
            assert np.array_equal(file["observations/qpos"][()], values["qpos"])
            assert np.array_equal(file["action"][()], values["action"]) and file["action"].dtype == np.float32
            assert set(file["observations/images"]) == {"cam_high", "cam_left_wrist", "cam_x"}
            theirs = {"cam_high": "cam_high", "cam_left_wrist": "cam_left_wrist", "cam_x": "cam_right_wrist"}
            for place, name in enumerate(file["observations/images"]):  # the order of compress_len's rows
                stored, wanted = file[f"observations/images/{name}"], values["images"][theirs[name]]
                if raw:
                    assert np.array_equal(stored[()], wanted) and "compress_len" not in file
                    continue
                assert stored.dtype == np.uint8 and stored.ndim == 2
                for frame in range(length):
                    size = int(file["compress_len"][place, frame])
                    row = stored[frame].tobytes()
                    assert not any(row[size:]) and row[size - 2 : size] == b"\xff\xd9"  # the end of a JPEG
                    decoded = np.array(Image.open(io.BytesIO(row)))
                    assert np.abs(decoded.astype(int) - wanted[frame]).mean() < 3
    said = json.loads((tmp_path / "out" / "expanded_instruction_gpt-4-turbo.json").read_text())
    assert said == {"instruction": "pass", "simplified_instruction": ["pass"], "expanded_instruction": ["pass"]}


def test_grippers_of_another_robot_and_what_is_no_simulation(tmp_path: Path) -> None:
    write_set(tmp_path / "set", level=False)
    export_aloha(tmp_path / "set", tmp_path / "out", "agilex")
    with h5py.File(tmp_path / "out" / "episode_0.hdf5") as file:
        assert not file.attrs["sim"]
        values = truth(0, 6)
        assert np.allclose(file["observations/qpos"][:, 6], values["qpos"][:, 6] * 4.7908)
        assert np.allclose(file["action"][:, 13], values["action"][:, 13] * 13.9231)
        assert np.array_equal(file["action"][:, 7:13], values["action"][:, 7:13])


def test_a_folder_for_each_task(tmp_path: Path) -> None:
    write_set(tmp_path / "set", ("pass", "hand over", "pass"))
    export_aloha(tmp_path / "set", tmp_path / "out")
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.glob("out/*/*"))
    sentences = "expanded_instruction_gpt-4-turbo.json"
    assert found == [
        "task_0/episode_0.hdf5", "task_0/episode_2.hdf5", f"task_0/{sentences}",
        "task_1/episode_1.hdf5", f"task_1/{sentences}",
    ]  # fmt: skip
    assert json.loads((tmp_path / "out/task_1" / sentences).read_text())["instruction"] == "hand over"


def test_there_and_back(tmp_path: Path) -> None:
    write_recording(tmp_path / "in")
    import_recording(tmp_path / "in", tmp_path / "a", aloha=AlohaOptions("agilex", 25))
    export_aloha(tmp_path / "a", tmp_path / "out", "agilex", jpeg=False)
    with h5py.File(tmp_path / "in/episode_1.hdf5") as one, h5py.File(tmp_path / "out/episode_1.hdf5") as other:
        for name in ("observations/qpos", "action"):
            assert np.allclose(one[name], other[name], atol=1e-5)
        for name in one["observations/images"]:
            assert np.array_equal(one[f"observations/images/{name}"], other[f"observations/images/{name}"])


def test_what_is_refused(tmp_path: Path) -> None:
    features = {STATE: Feature("float32", (2,)), ACTION: Feature("float32", (2,)), **BOOKKEEPING}
    made = [Episode(n, "t", {STATE: [[0, 1]] * 3, ACTION: [[0, 1]] * 3}) for n in range(2)]
    write_dataset(tmp_path / "other", [made], features, 10, "pusht", {}, {})
    with pytest.raises(DatasetError, match=r"'observation.state' is float32 \[2\]; ALOHA's files hold the 14 of two"):
        export_aloha(tmp_path / "other", tmp_path / "out")
    names = find_robot("aloha").names
    for changed, said in (
        ({"third": "high"}, "observation.images.high' and .*images.top' are both 'cam_high' in ALOHA's files"),
        ({"third": "../x"}, "observation.images.../x': names of cameras have letters"),
        (
            {"joints": (*names[7:], *names[:7])},
            "'observation.state' of the set names 'right_arm_joint_0_pos' at place 0",
        ),
    ):
        write_set(tmp_path / "changed", **changed)
        with pytest.raises(DatasetError, match=said):
            export_aloha(tmp_path / "changed", tmp_path / "out")
        shutil.rmtree(tmp_path / "changed")
    write_set(tmp_path / "set")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(OutputError, match="is there already"):
        export_aloha(tmp_path / "set", tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "out", "set"]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    write_set(tmp_path / "set")
    command = [sys.executable, "-m", "vla_datasets", "hdf5", str(tmp_path / "set"), "--out", str(tmp_path / "out")]
    no_room = (resource.RLIMIT_FSIZE, (8192, 8192))
    found = subprocess.run(
        command, capture_output=True, text=True, preexec_fn=lambda: resource.setrlimit(*no_room), check=False
    )
    assert found.returncode == 1
    assert [line for line in found.stderr.splitlines() if line] == [
        f"error: output folder '{tmp_path / 'out'}' cannot be written: File too large; choose another place"
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["set"]
