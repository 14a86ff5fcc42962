"""ALOHA's HDF5 becomes a prepared set: every value, and what is refused. Files are written by h5py itself."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from recorded_aloha import CAMERAS, SENTENCES, jpeg, truth, write_episode, write_recording

from vla_datasets.cli import main
from vla_datasets.errors import CollectError, DatasetError
from vla_datasets.import_.aloha import AlohaOptions
from vla_datasets.import_.aloha_instructions import read_instructions
from vla_datasets.import_.write import import_recording
from vla_datasets.keys import ACTION, DONE, STATE, image
from vla_datasets.lerobot.reader import open_dataset

h5py = pytest.importorskip("h5py", reason="pip install .[import]")
OURS = {"cam_high": "top", "cam_left_wrist": "left_wrist", "cam_right_wrist": "right_wrist"}
FIRST = "episode_0.hdf5"


def read(root: Path) -> list[dict[str, Any]]:
    """Episodes of a prepared set, images decoded."""
    dataset = open_dataset(root)
    names = [name for name in dataset.info["features"] if name in (STATE, ACTION, DONE) or "images" in name]
    types = {name: dataset.feature(name).arrow_type() for name in names}
    found = []
    for episode in dataset.read_episodes(range(len(dataset.episodes)), types):
        values = {name: np.array(v) for name, v in episode.columns.items() if "images" not in name}
        for name in (n for n in names if "images" in n):
            values[name] = np.stack([dataset.decode(v, dataset.feature(name).shape) for v in episode.columns[name]])
        found.append(values | {"task": episode.task})
    return found


@pytest.mark.parametrize("stored", ["raw", "rows", "strings"])
def test_every_value(tmp_path: Path, stored: str) -> None:
    every = write_recording(tmp_path / "in", stored=stored)
    info = import_recording(tmp_path / "in", tmp_path / "out")
    assert (info.fps, info.total_episodes, info.total_frames, info.robot_type) == (50, 3, 15, "aloha")
    assert info.collection == {"world": "aloha", "robot": "aloha", "imported": "in", "form": "ALOHA's HDF5"}
    assert open_dataset(tmp_path / "out").info["features"][STATE]["names"][6] == "left_gripper_open"
    for found, wanted in zip(read(tmp_path / "out"), every, strict=True):
        assert np.array_equal(found[STATE], wanted["qpos"]) and np.array_equal(found[ACTION], wanted["action"])
        assert found[DONE].tolist() == [False] * (len(wanted["qpos"]) - 1) + [True]
        assert found["task"] == "hand over"
        for name in CAMERAS:
            pictures = wanted["images"][name]
            if stored != "raw":
                pictures = np.stack([np.array(Image.open(io.BytesIO(jpeg(picture)))) for picture in pictures])
            assert np.array_equal(found[image(OURS[name])], pictures)


def test_what_the_files_do_not_say(tmp_path: Path) -> None:
    """Agilex's grippers, 25 frames a second, colours in the other order, pictures of half the size."""
    (wanted, _, _) = write_recording(tmp_path / "in")
    options = AlohaOptions("agilex", 25, "bgr", (16, 12))
    assert import_recording(tmp_path / "in", tmp_path / "out", aloha=options).fps == 25
    found = read(tmp_path / "out")[0]
    state, action = np.ones(14), np.ones(14)
    state[[6, 13]], action[[6, 13]] = (4.7908, 4.7888), (11.8997, 13.9231)
    assert np.allclose(found[STATE], wanted["qpos"] / state, atol=1e-6)
    assert np.allclose(found[ACTION], wanted["action"] / action, atol=1e-6)
    blocks = wanted["images"]["cam_high"].reshape(-1, 12, 2, 16, 2, 3).mean((2, 4))[..., ::-1]
    assert np.abs(found[image("top")] - blocks).max() <= 1.0


def test_a_robot_s_own_grippers(tmp_path: Path) -> None:
    """RDT's robot counts them to 13.9."""
    write_recording(tmp_path / "in")
    edited(lambda f: f["action"].__setitem__((2, 13), 13.9))(tmp_path / "in")
    import_recording(tmp_path / "in", tmp_path / "out", aloha=AlohaOptions("agilex"))
    assert np.allclose(read(tmp_path / "out")[0][ACTION][2, 13], 13.9 / 13.9231)


def test_folders_of_tasks_and_numbers_in_order(tmp_path: Path) -> None:
    lengths = {"b": (3, 4), "a": tuple(range(2, 13))}
    for name, frames in lengths.items():
        write_recording(tmp_path / "in" / name, frames)
    (tmp_path / "in" / "a" / "episode_x.hdf5").write_text("not read")
    import_recording(tmp_path / "in", tmp_path / "out")
    assert [len(episode[STATE]) for episode in read(tmp_path / "out")] == [*lengths["a"], *lengths["b"]]


def test_a_sentence_is_needed(tmp_path: Path) -> None:
    write_recording(tmp_path / "in")
    (tmp_path / "in" / "expanded_instruction_gpt-4-turbo.json").unlink()
    with pytest.raises(CollectError, match=r"has no expanded_instruction_gpt-4-turbo.json; say in words .* --task"):
        import_recording(tmp_path / "in", tmp_path / "out")
    import_recording(tmp_path / "in", tmp_path / "out", aloha=AlohaOptions(task="pass the cube"))
    assert {episode["task"] for episode in read(tmp_path / "out")} == {"pass the cube"}


def test_paraphrases(tmp_path: Path) -> None:
    """A third of each kind, and within a kind as often; the same in every import."""
    write_recording(tmp_path / "in", (2,) * 12)
    sentences = read_instructions(tmp_path / "in")
    assert sentences is not None
    counts = Counter(sentences.drawn(number) for number in range(1200))
    wanted = {"hand over": 400, "pass it": 200, "give it": 200, SENTENCES["expanded_instruction"][0]: 400}
    assert counts.keys() == wanted.keys()
    assert all(abs(counts[text] - number) < 70 for text, number in wanted.items())
    import_recording(tmp_path / "in", tmp_path / "out", aloha=AlohaOptions(paraphrases=True))
    assert [e["task"] for e in read(tmp_path / "out")] == [sentences.drawn(number) for number in range(12)]


Break = Callable[[Path], Any]


def edited(change: Callable[[Any], Any]) -> Break:
    """Another content of the first file."""

    def edit(folder: Path) -> None:
        with h5py.File(folder / FIRST, "a") as file:
            change(file)

    return edit


def replaced(name: str, **stored: Any) -> Break:
    """Another dataset in the place of one."""

    def change(file: Any) -> None:
        del file[name]
        file.create_dataset(name, **stored)

    return edited(change)


def linked(name: str, link: Any) -> Break:
    def change(file: Any) -> None:
        del file[name]
        file[name] = link

    return edited(change)


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((6, 14), "f4")
    layout[:] = h5py.VirtualSource("episode_1.hdf5", "action", (6, 14))[:]
    del file["action"]
    file.create_virtual_dataset("action", layout)


def blosc(file: Any) -> None:
    """A chunk that went through a filter that HDF5 itself has not."""
    del file["action"]
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk((6, 14))
    made.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, (2, 2, 4, 336))
    space = h5py.h5s.create_simple((6, 14))
    h5py.h5d.create(file.id, b"action", h5py.h5t.IEEE_F32LE, space, made).write_direct_chunk((0, 0), b"x" * 100, 0)


def half(file: Any, name: str, chunks: tuple[int, ...]) -> None:
    """A recorder that makes room first, and stops in the middle."""
    values = file[name][()]
    del file[name]
    file.create_dataset(name, values.shape, values.dtype, chunks=chunks, compression="gzip")[:3] = values[:3]


def bytes_changed(change: Callable[[bytes], bytes]) -> Break:
    return lambda folder: (folder / FIRST).write_bytes(change((folder / FIRST).read_bytes()))


def huge_jpeg() -> bytes:
    """A small file that says it is 60,000 x 60,000."""
    data = bytearray(jpeg(np.zeros((8, 8, 3), np.uint8)))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = (60_000).to_bytes(2, "big") * 2
    return bytes(data)


def frames(*pictures: bytes, count: int = 6) -> np.ndarray:
    """A camera's JPEG strings, of which the last ones are given."""
    good = jpeg(truth(0, 6)["images"]["cam_high"][0])
    return np.array([*[good] * (count - len(pictures)), *pictures], f"S{max(map(len, (good, *pictures)))}")


def unsaid(file: Any) -> None:
    del file.attrs["compress"]


HIGH = "observations/images/cam_high"
GOOD = jpeg(truth(0, 1)["images"]["cam_high"][0])
JSON = "expanded_instruction_gpt-4-turbo.json"
FLOATS = np.zeros((6, 14), np.float32)
CASES: dict[str, tuple[Break, str]] = {
    "text": (bytes_changed(lambda b: b"text" * 1000), r"episode_0.hdf5 is no HDF5, or damaged"),
    "empty": (bytes_changed(lambda b: b""), "is no HDF5, or damaged"),
    "half": (bytes_changed(lambda b: b[: len(b) // 2]), "is no HDF5, or damaged"),
    "a device": (lambda f: ((f / FIRST).unlink(), (f / FIRST).symlink_to("/dev/zero")), "is no file"),
    "a pipe": (lambda f: ((f / FIRST).unlink(), os.mkfifo(f / FIRST)), "is no file"),
    "no qpos": (edited(lambda f: f.pop("observations/qpos")), "'observations/qpos' is missing; ALOHA's episodes have"),
    "no action": (edited(lambda f: f.pop("action")), "'action' is missing"),
    "group": (edited(lambda f: (f.pop("action"), f.create_group("action"))), "'action' is missing"),
    "soft link": (linked("action", h5py.SoftLink("/observations/qpos")), "'action' is a link to elsewhere"),
    "external link": (linked("action", h5py.ExternalLink("episode_1.hdf5", "action")), "is a link to elsewhere"),
    "linked folder": (linked("observations", h5py.ExternalLink("episode_1.hdf5", "observations")),
                      "'observations/qpos' is a link to elsewhere"),
    "dangling": (linked("action", h5py.SoftLink("/nowhere")), "'action' is a link to elsewhere"),
    "virtual": (edited(virtual), "'action' is stored in other files"),
    "external storage": (replaced("action", shape=(6, 14), dtype="f4", external=[("/etc/passwd", 0, 336)]),
                         "'action' is stored in other files"),
    "objects": (replaced("action", shape=(6, 14), dtype=h5py.vlen_dtype(np.float32)), "is object; numbers and"),
    "references": (replaced("action", shape=(6, 14), dtype=h5py.ref_dtype), "'action' is object"),
    "words": (replaced(HIGH, shape=(6,), dtype=h5py.string_dtype()), "cam_high' is object"),
    "compound": (replaced("action", shape=(6, 14), dtype=[("a", "f4")]), r"'action' is \[\('a', '<f4'\)\]; numbers"),
    "whole numbers": (replaced("action", data=FLOATS.astype(int)), r"'action' is int64 \[6, 14\]; it must be floats"),
    "columns": (replaced("action", data=FLOATS[:, :7]), r"\[6, 7\]; it must be floats \[frames, 14\]"),
    "axes": (replaced("action", data=FLOATS[None]), r"\[1, 6, 14\]; it must be floats"),
    "scalar": (replaced("action", data=np.float32(0)), r"float32 \[\]; it must be floats"),
    "filter": (edited(blosc), "'action' is packed by filter 32001, which is not installed; pack it"),
    "nothing": (replaced("action", data=h5py.Empty("f4")), "'action' holds nothing"),
    "no rows": (replaced("action", data=FLOATS[:0]), "'action' has 0 frames; it must be 1 to 100,000"),
    "rows": (replaced("action", data=FLOATS[:5]), "'action' has 5 rows, and 'observations/qpos' 6"),
    "huge": (replaced("observations/qpos", shape=(10**12, 14), chunks=(1, 14), dtype="f4"), "1,000,000,000,000 frames"),
    "huge chunks": (replaced("action", shape=(10**8, 14), chunks=(10**7, 14), dtype="f4"), "in chunks of"),
    "no number": (replaced("action", data=FLOATS * np.nan), "'action' has a value that is no finite number in frame 0"),
    "infinite": (replaced("observations/qpos", data=FLOATS + np.inf), "qpos' has a value that is no"),
    "beyond float32": (replaced("action", data=FLOATS.astype("f8") + 1e39), "no finite number in frame 0, as float32"),
    "another robot's": (edited(lambda f: f["action"].__setitem__((2, 13), 13.9)), "has a right_gripper_open of 13.9"),
    "never written": (replaced("action", shape=(6, 14), dtype="f4"), "'/action' was not written to its end"),
    "cut short": (edited(lambda f: half(f, "action", (1, 14))), "'/action' was not written to its end"),
    "cut pictures": (edited(lambda f: half(f, HIGH, (1, 24, 32, 3))), "cam_high' was not written to its end"),
    "countless chunks": (replaced(HIGH, shape=(6, 4000, 4000, 3), chunks=(1,) * 4, dtype="u1"), "was not written"),
    "few pictures": (replaced(HIGH, data=np.zeros((5, 24, 32, 3), np.uint8)), "5 pictures, and .* 6 rows"),
    "four channels": (replaced(HIGH, data=np.zeros((6, 24, 32, 4), np.uint8)), r"\[6, 24, 32, 4\]; pictures are"),
    "floats": (replaced(HIGH, data=np.zeros((6, 24, 32, 3), np.float32)), r"is float32 \[6, 24, 32, 3\]; pictures are"),
    "huge pictures": (replaced(HIGH, shape=(6, 10**5, 10**5, 3), chunks=(1, 10, 10, 3), dtype="u1"), "sides are 1"),
    "long rows": (replaced(HIGH, shape=(6, 10**9), chunks=(1, 10), dtype="u1"), "'compress' says"),
    "endless rows": (lambda f: (CASES["long rows"][0](f), edited(unsaid)(f)), "268,435,456 bytes are read at a time"),
    "flat pictures": (replaced(HIGH, data=np.zeros((6, 0, 32, 3), np.uint8)), r"pictures of \[0, 32, 3\]"),
    "said raw": (replaced(HIGH, data=frames()), r"'compress' says that pictures are no JPEG, and .*cam_high' is \[6\]"),
    "said JPEG": (edited(lambda f: f.attrs.__setitem__("compress", True)), "'compress' says that pictures are JPEG"),
    "camera": (edited(lambda f: f.move(HIGH, "observations/images/Cam .")), "a camera is called 'Cam .'"),
    "two names": (edited(lambda f: f.copy(HIGH, "observations/images/top")), "are both camera 'top'"),
    "many": (edited(lambda f: [f.create_group(f"observations/images/c{n}") for n in range(101)]), "has 104 members"),
    "a folder": (edited(lambda f: f.create_group("observations/images/cam_low")), "cam_low' is missing"),
    "another camera": (edited(lambda f: f.pop(HIGH)), "episode_1.hdf5 has the cameras .* Import them as two sets"),
    "JSON": (lambda f: (f / JSON).write_text("{"), "gpt-4-turbo.json cannot be read"),
    "deep JSON": (lambda f: (f / JSON).write_text("[" * 99_999), "nested too deep"),
    "long JSON": (lambda f: (f / JSON).write_text(" " * 10_000_001), "10,000,001 bytes; at most 10,000,000"),
    "list": (lambda f: (f / JSON).write_text("[]"), "is no table of 'instruction'"),
    "no instruction": (lambda f: (f / JSON).write_text("{}"), "'instruction' is .*None.*; it must be sentences"),
    "empty sentence": (lambda f: (f / JSON).write_text('{"instruction": ""}'), "it must be sentences of 1 to 2,000"),
    "no sentences": (lambda f: (f / JSON).write_text(json.dumps(SENTENCES | {"expanded_instruction": []})), "must be"),
    "number": (lambda f: (f / JSON).write_text(json.dumps(SENTENCES | {"simplified_instruction": [3]})), "must be"),
    "one episode": (lambda f: [(f / f"episode_{n}.hdf5").unlink() for n in (1, 2)], "has 1 episodes"),
}  # fmt: skip
PACKED: dict[str, tuple[np.ndarray, str]] = {
    "text in place of JPEG": (frames(b"text"), "frame 5 is no JPEG, or damaged"),
    "cut JPEG": (frames(GOOD[: len(GOOD) // 2]), "frame 5 is no JPEG, or damaged"),
    "no bytes": (frames(b""), "frame 5 is no JPEG, or damaged"),
    "PNG": (frames(b"\x89PNG\r\n\x1a\n" + bytes(50)), "frame 5 is no JPEG, or damaged"),
    "other size": (
        frames(jpeg(np.zeros((24, 16, 3), np.uint8))),
        r"frame 5 is \[24, 16, 3\]; the first one is \[24, 32",
    ),
    "bomb": (frames(huge_jpeg()), r"frame 5 is \[60000, 60000, 3\]; the first one is|is no JPEG, or damaged"),
    "first bomb": (frames(*[huge_jpeg()] * 6), r"frame 0 is \[60000, 60000, 3\]; sides are|is no JPEG, or damaged"),
}


def refused(folder: Path, out: Path, message: str) -> None:
    before = sorted(out.parent.iterdir())
    with pytest.raises(DatasetError, match=message) as error:
        import_recording(folder, out)
    assert str(folder) in str(error.value)
    assert sorted(out.parent.iterdir()) == before


@pytest.mark.parametrize("name", CASES)
def test_hostile_and_damaged_files(tmp_path: Path, name: str) -> None:
    change, message = CASES[name]
    write_recording(tmp_path / "in")
    change(tmp_path / "in")
    refused(tmp_path / "in", tmp_path / "out", message)


@pytest.mark.parametrize("name", PACKED)
def test_damaged_pictures(tmp_path: Path, name: str) -> None:
    data, message = PACKED[name]
    write_recording(tmp_path / "in")
    replaced(HIGH, data=data)(tmp_path / "in")
    edited(unsaid)(tmp_path / "in")
    refused(tmp_path / "in", tmp_path / "out", message)


def test_a_damaged_chunk(tmp_path: Path) -> None:
    """Packed by gzip, with other bytes in the middle."""
    write_recording(tmp_path / "in")
    noise = np.random.default_rng(0).integers(0, 255, (6, 24, 32, 3), np.uint8)
    replaced(HIGH, data=noise, chunks=(1, 24, 32, 3), compression="gzip")(tmp_path / "in")
    with h5py.File(tmp_path / "in" / FIRST) as file:
        chunk = file[HIGH].id.get_chunk_info(3)
    bytes_changed(lambda b: b[: chunk.byte_offset + 20] + bytes(200) + b[chunk.byte_offset + 220 :])(tmp_path / "in")
    refused(tmp_path / "in", tmp_path / "out", "cam_high' is damaged")


def test_options_that_do_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_recording(tmp_path / "in")
    cases = {
        ("--size", "32x12"): (1, "--size is 32x12, and pictures of .* are 32x24; give a smaller"),
        ("--size", "64x48"): (1, "give a smaller size of the same shape"),
        ("--size", "0x0"): (1, "give a smaller size of the same shape"),
        ("--size", "12"): (2, "--size is '12'; it must be width x height"),
        ("--cameras", "top"): (2, "--cameras is for Waymo's TFRecords"),
        ("--world", "pusht"): (1, "--world is 'pusht'; .* has episodes of ALOHA, which need none"),
        ("--fps", "2000"): (1, "--fps is 2000; it must be 1 to 1000"),
        ("--robot", "panda"): (2, "invalid choice: 'panda'"),
    }
    for options, (code, message) in cases.items():
        assert main(["import", str(tmp_path / "in"), "--out", str(tmp_path / "out"), *options]) == code
        text = " ".join(capsys.readouterr().err.split())
        assert re.search(message, text), text
        assert not (tmp_path / "out").exists()
    assert main(["import", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--size", "16x12"]) == 0
    assert "3 episodes of aloha, 15 frames, 1 held out (ALOHA's HDF5)" in capsys.readouterr().out


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_episode(tmp_path / "in" / FIRST, truth(0, 3))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(CollectError, match=r"needs the package 'h5py'.*pip install 'vla-toolchain\[import\]'"):
        import_recording(tmp_path / "in", tmp_path / "out")
