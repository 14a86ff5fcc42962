"""Diffusion Policy's replay buffer becomes our set frame by frame; what is damaged or hostile is refused."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numcodecs", reason="pip install '.[import]'")
pytest.importorskip("zarr", reason="pip install '.[dev]'")
pytest.importorskip("gym_pusht", reason="pip install '.[pusht]' and gym-pusht without its dependencies")

import zarr
from recorded_pusht import Truth, check_frames, imported, truth, write_zarr

from vla_datasets.cli import main
from vla_datasets.errors import CollectError, DatasetError
from vla_datasets.import_.write import import_recording
from vla_datasets.keys import REWARD
from vla_datasets.lerobot.reader import open_dataset
from vla_datasets.worlds.pusht.block import corners
from vla_datasets.worlds.pusht.coverage import coverage
from vla_datasets.worlds.pusht.environment import PushT
from vla_datasets.worlds.pusht.schema import GOAL_POSE, KEYPOINTS
from vla_datasets.worlds.pusht_pixels.schema import IMAGE


@pytest.fixture
def buffer(tmp_path: Path) -> Path:
    write_zarr(tmp_path / "in.zarr", truth(), pictures=False)
    return tmp_path / "in.zarr"


def gym_pushts(numbers: Truth) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints and coverage of each frame, by gym-pusht's own bodies and code."""
    world = PushT("fixed")
    world.reset(seed=0)
    keypoints, covered = [], []
    for x, y, angle in numbers.pose.astype(np.float64):
        world.env.block.angle = angle  # first: it turns the block around its centre of gravity
        world.env.block.position = (x, y)
        keypoints.append(world.env.get_keypoints(world.env._block_shapes).ravel())
        covered.append(world.env._get_coverage())
    return np.array(keypoints), np.array(covered)


@pytest.mark.parametrize("chunks", [1, 6, 100])
@pytest.mark.parametrize("zipped", [False, True])
def test_every_frame(tmp_path: Path, chunks: int, zipped: bool) -> None:
    numbers, source = truth(), tmp_path / ("in.zarr.zip" if zipped else "in.zarr")
    write_zarr(source, numbers, chunks=chunks, zipped=zipped)
    found = imported(source, tmp_path / "out", "pusht_pixels" if chunks == 6 else "pusht")
    theirs, covered = gym_pushts(numbers)
    assert np.allclose(numbers.keypoints, theirs, atol=1e-3)  # this test's own are gym-pusht's
    numbers.keypoints = corners(numbers.pose.astype(np.float64)).reshape(-1, 16).astype(np.float32)
    assert np.allclose(numbers.keypoints, theirs, atol=1e-3)
    check_frames(found, numbers)
    ends = np.cumsum(np.bincount(numbers.episode))
    after = [frame if frame + 1 in ends else frame + 1 for frame in range(len(covered))]
    assert np.allclose(found[REWARD], np.minimum(covered[after] / 0.95, 1), atol=1e-5)
    assert found[REWARD][-1] == 1 and found[REWARD].min() < 0.9
    if chunks == 6:
        assert np.array_equal(found[IMAGE], numbers.images)
    origin = {"imported": source.name, "form": "Diffusion Policy's zarr"}
    assert open_dataset(tmp_path / "out").info["collection"].items() >= origin.items()


def test_coverage_is_gym_pushts() -> None:
    numbers = truth((40,))
    numbers.pose[:, :2] = 256 + (numbers.pose[:, :2] - 250) / 4  # most on the goal
    _, covered = gym_pushts(numbers)
    found = coverage(corners(numbers.pose.astype(np.float64)), corners(GOAL_POSE))
    assert np.allclose(found, covered, atol=1e-6) and np.ptp(covered) > 0.3


def test_the_archive_as_it_is_published(tmp_path: Path, buffer: Path) -> None:
    """A folder in a .zip, compressed."""
    shutil.make_archive(str(tmp_path / "pusht"), "zip", tmp_path, "in.zarr")
    there = imported(tmp_path / "pusht.zip", tmp_path / "a")
    from_folder = imported(buffer, tmp_path / "b")
    assert all(np.array_equal(there[name], from_folder[name]) for name in there)


def test_chunks_on_every_axis(tmp_path: Path) -> None:
    """As zarr itself cuts an array up; and whole numbers, stored in folders."""
    numbers, source = truth(), tmp_path / "in.zarr"
    write_zarr(source, numbers)
    group = zarr.open_group(source, mode="a", zarr_format=2)
    about = {"shape": numbers.images.shape, "dtype": "|u1", "chunks": (5, 40, 50, 2), "compressors": None}
    separator = zarr.core.chunk_key_encodings.V2ChunkKeyEncoding(separator="/")
    group.create_array("data/img", overwrite=True, chunk_key_encoding=separator, **about)[:] = numbers.images
    assert (source / "data/img/3/2/1/1").is_file()
    found = imported(source, tmp_path / "out", "pusht_pixels")
    assert np.array_equal(found[IMAGE], numbers.images) and KEYPOINTS in found


Break = Callable[[Path], Any]


def described(name: str, **values: Any) -> Break:
    """Another description of an array."""

    def change(root: Path) -> None:
        path = root / name / ".zarray"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def stored(name: str, place: Any, value: Any) -> Break:
    """Another value in an array."""

    def change(root: Path) -> None:
        array: Any = zarr.open_group(root, mode="a", zarr_format=2)[name]
        array[place] = value

    return change


def normalized(name: str) -> Break:
    """Places from -1 to 1, as networks take them."""

    def change(root: Path) -> None:
        array: Any = zarr.open_group(root, mode="a", zarr_format=2)[name]
        values = array[:]
        array[:] = values / np.abs(values).max(axis=0)

    return change


def in_chunk(name: str, change: Callable[[bytes], bytes]) -> Break:
    return lambda root: (root / name).write_bytes(change((root / name).read_bytes()))


def blosc(**values: Any) -> dict[str, Any]:
    return {"compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0, **values}}


def of_other_size(frames: int) -> Callable[[bytes], bytes]:
    """A good chunk, of more or less than there is room for."""
    from numcodecs import Blosc

    return lambda _: Blosc("lz4").encode(np.zeros((frames, 5), np.float32))


NAN, TARGET = float("nan"), "data/state"
CASES: dict[str, tuple[Break, str]] = {
    "objects": (described(TARGET, dtype="|O"), r"data/state/.zarray: dtype is '\|O'; .* no objects: to unpickle"),
    "pickles": (described(TARGET, dtype="|O", filters=[{"id": "pickle", "protocol": 5}]), "no objects"),
    "filters": (described(TARGET, filters=[{"id": "pickle"}]), "has filters .*pickle.* no filters"),
    "records": (described(TARGET, dtype=[["a", "|O"]]), "dtype is .* no objects"),
    "text": (described(TARGET, dtype="<U4"), "dtype is '<U4'"),
    "big-endian": (described(TARGET, dtype=">f4"), "dtype is '>f4'"),
    "no such": (described(TARGET, dtype="<f1"), "dtype is '<f1'"),
    "compressor": (described(TARGET, compressor={"id": "zlib"}), "compressor is 'zlib'; 'blosc'"),
    "pickle codec": (described(TARGET, compressor={"id": "pickle"}), "compressor is 'pickle'"),
    "format": (described(TARGET, zarr_format=3), "not of zarr format 2"),
    "order": (described(TARGET, order="F"), "order 'F'"),
    "separator": (described(TARGET, dimension_separator="/../"), r"dimension_separator is '/\.\./'"),
    "columns": (described(TARGET, shape=[16, 6]), r"shape \[16, 6\] in chunks of \[6, 5\]; it must be rows of \[5\]"),
    "axes": (described(TARGET, shape=[16, 5, 1]), r"it must be rows of \[5\]"),
    "rows": (described(TARGET, shape=[15, 5]), "has 15 rows; the last episode ends at 16"),
    "huge": (described(TARGET, shape=[10**15, 5]), "1,000,000,000,000,000 rows in chunks of 120 bytes; at most 10,000"),
    "huge chunks": (described(TARGET, chunks=[10**9, 5]), "chunks of 20,000,000,000 bytes; at most .* 268,435,456"),
    "tall chunks": (described(TARGET, chunks=[10**8, 1]), "chunks of 2,000,000,000 bytes"),
    "no chunks": (described(TARGET, chunks=[0, 5]), r"in chunks of \[0, 5\]"),
    "negative": (described(TARGET, shape=[-1, 5]), r"shape is \[-1, 5\]; it must be 1 to 4 whole numbers"),
    "text shape": (described(TARGET, shape="16"), "shape is '16'"),
    "no JSON": (lambda root: (root / TARGET / ".zarray").write_text("["), "is no JSON"),
    "nested": (lambda root: (root / TARGET / ".zarray").write_text("[" * 99_999), "is no JSON"),
    "long": (lambda root: (root / TARGET / ".zarray").write_text(" " * 100_001), "100,001 bytes or more; at most"),
    "array missing": (lambda root: shutil.rmtree(root / "data/action"), "data/action/.zarray cannot be read: No such"),
    "chunk missing": (lambda root: (root / TARGET / "1.0").unlink(), "data/state/1.0 cannot be read: No such file"),
    "a device": (lambda root: ((root / TARGET / "1.0").unlink(), (root / TARGET / "1.0").symlink_to("/dev/zero")),
                 "1.0 is no file"),
    "cut chunk": (in_chunk(f"{TARGET}/1.0", lambda b: b[:-9]), "1.0 is damaged: .* bytes for 120; it says"),
    "short chunk": (in_chunk(f"{TARGET}/1.0", lambda b: b[:9]), "1.0 is damaged: it has 9 bytes"),
    "other bytes": (in_chunk(f"{TARGET}/1.0", lambda b: b[:16] + b"\xff" * (len(b) - 16)), "1.0 is damaged|no finite"),
    "small chunk": (in_chunk(f"{TARGET}/1.0", of_other_size(2)), "bytes for 120; it says .* for 40"),
    "bomb": (in_chunk(f"{TARGET}/1.0", of_other_size(10**5)), "1.0 has .* bytes or more; at most 1,264|for 2000000"),
    "ends fall": (stored("meta/episode_ends", 1, 3), "episode 1 ends at 3, and begins at 4; ends must increase"),
    "ends stay": (stored("meta/episode_ends", 1, 4), "episode 1 ends at 4, and begins at 4"),
    "ends negative": (stored("meta/episode_ends", 0, -4), "episode 0 ends at -4, and begins at 0"),
    "ends far": (stored("meta/episode_ends", 2, 10**12), "episode 2 has 999999999989 frames; it must be 1 to 100,000"),
    "ends of text": (described("meta/episode_ends", dtype="<f8"), "episode_ends is float64 .3.; it must be up to"),
    "no ends": (described("meta/episode_ends", shape=[0]), "has 0 episodes"),
    "short ends": (in_chunk("meta/episode_ends/0", lambda b: b[:-1]), "meta/episode_ends/0 is damaged: buffer"),
    "no number": (stored(TARGET, (9, 3), NAN), "episode 1: data/state has a value that is no finite number"),
    "no place": (stored("data/action", (9, 0), NAN), r"episode 1: 'action' is \[nan, .* in frame 5"),
    "normalized": (normalized(TARGET), r"'observation.state' goes from -?[01][.\d]* to [01][.\d]*, and places are in"),
    "normalized actions": (normalized("data/action"), "'action' goes from .* a recording that is not normalized"),
    "scaled": (stored("data/action", (0, 1), -1000), "Take a recording"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_hostile_and_damaged_buffers(tmp_path: Path, buffer: Path, name: str) -> None:
    change, message = CASES[name]
    change(buffer)
    with pytest.raises(DatasetError, match=message) as error:
        import_recording(buffer, tmp_path / "out")
    assert str(buffer) in str(error.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.zarr"]


class Trap:
    """What must never be unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (sys.exit, ("unpickled",))


def test_nothing_is_unpickled(tmp_path: Path, buffer: Path) -> None:
    described(TARGET, dtype="|O", filters=[{"id": "pickle"}], compressor=None)(buffer)
    for chunk in (buffer / TARGET).glob("[0-9]*"):
        chunk.write_bytes(pickle.dumps(np.array([Trap()], object)))
    with pytest.raises(DatasetError, match="no objects"):
        import_recording(buffer, tmp_path / "out")


@pytest.mark.parametrize("scale", [1 / 255, 1.001, NAN])
def test_pictures_that_are_scaled(tmp_path: Path, scale: float) -> None:
    write_zarr(tmp_path / "in.zarr", truth())
    group: Any = zarr.open_group(tmp_path / "in.zarr", mode="a", zarr_format=2)
    group["data/img"][3] = group["data/img"][3] * scale
    with pytest.raises(DatasetError, match=r"episode 0: data/img has values that are not 0, 1, ... 255"):
        import_recording(tmp_path / "in.zarr", tmp_path / "out", "pusht_pixels")


def test_archives_that_are_none(tmp_path: Path, buffer: Path) -> None:
    source = tmp_path / "in.zip"
    source.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DatasetError, match=r"in.zip cannot be read: .* Get the file again"):
        import_recording(source, tmp_path / "out")
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(DatasetError, match="is no recording that is read"):
        import_recording(source, tmp_path / "out")
    files = {p.relative_to(buffer).as_posix(): p.read_bytes() for p in buffer.rglob("*") if p.is_file()}
    with zipfile.ZipFile(source, "w") as archive:
        for root in ("a/", "../b/"):
            archive.writestr(f"{root}meta/episode_ends/.zarray", files["meta/episode_ends/.zarray"])
    with pytest.raises(DatasetError, match=r"several replay buffers \(a/, \.\./b/\)"):
        import_recording(source, tmp_path / "out")
    files[f"{TARGET}/1.0"] = bytes(10**8)  # 100 KB in the archive
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    with pytest.raises(DatasetError, match=r"data/state/1.0 has 1,265 bytes or more; at most 1,264"):
        import_recording(source, tmp_path / "out")
    whole = source.read_bytes()
    source.write_bytes(whole[:300] + bytes(200) + whole[500:])
    with pytest.raises(DatasetError, match=r"cannot be read|is damaged|is no JSON"):
        import_recording(source, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.zarr", "in.zip"]


@pytest.mark.parametrize("package", ["numcodecs", "shapely"])
def test_a_missing_package_is_named(
    tmp_path: Path, buffer: Path, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(CollectError, match=rf"needs the package '{package}'.*vla-toolchain\[import\]"):
        import_recording(buffer, tmp_path / "out")
    assert main(["import", str(buffer), "--out", str(tmp_path / "out")]) == 1
    assert not (tmp_path / "out").exists() and "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--fps", "25"], ["--size", "48x48"], ["--task", "push"]])
def test_options_of_other_recordings(
    tmp_path: Path, buffer: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert main(["import", str(buffer), "--out", str(tmp_path / "out"), *options]) == 1
    assert "is a recording of Push-T; give it no --size and no option of ALOHA" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
