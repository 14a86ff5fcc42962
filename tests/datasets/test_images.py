"""Images at a policy's size, decoded once and kept beside their data set."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vla_datasets.errors import DatasetError
from vla_datasets.lerobot import images
from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.lerobot.reader import Dataset
from vla_datasets.lerobot.windows import load_windows
from vla_datasets.lerobot.writer import Episode, write_dataset
from vla_datasets.shrink import shrink
from vla_isa.errors import OutputError

CAMERA = "observation.images.front"
FEATURES = {CAMERA: Feature("image", (8, 8, 3)), "action": Feature("int64", (1,)), **BOOKKEEPING}
STEPS = {CAMERA: (-1, 0), "action": (0,)}


def write_set(root: Path, seed: int = 0) -> np.ndarray:
    """Two episodes for training and one held out; returns their images."""
    found = np.random.default_rng(seed).integers(0, 256, (9, 8, 8, 3), np.uint8)

    def png(pixels: np.ndarray) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, format="PNG")
        return stream.getvalue()

    def episode(number: int, part: np.ndarray) -> Episode:
        return Episode(number, "drive", {CAMERA: [png(a) for a in part], "action": list(range(len(part)))})

    episodes = [episode(n, part) for n, part in enumerate((found[:3], found[3:7], found[7:]))]
    write_dataset(root, [episodes], FEATURES, 10, "test", {"train": (0, 2), "val": (2, 3)}, {})
    return found


def decoded_again(*arguments: object) -> None:
    raise AssertionError("the images are decoded again")


def test_they_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = write_set(tmp_path)
    for split, part in (("train", found[:7]), ("val", found[7:])):
        load_windows(tmp_path, split, STEPS, sides={CAMERA: 4})
        with monkeypatch.context() as patched:
            patched.setattr(Dataset, "decode", decoded_again)
            batch = load_windows(tmp_path, split, STEPS, sides={CAMERA: 4}).batch(np.arange(len(part)))
        assert np.array_equal(batch[CAMERA][:, 1], shrink(part, 4))
        assert np.array_equal(batch[CAMERA][1:, 0][np.diff(batch["action"][:, 0, 0]) == 1][:1], shrink(part[:1], 4))
    assert len(list((tmp_path / ".images").iterdir())) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"hello"),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: np.save(path, np.zeros((7, 4, 4, 3), np.int8)),
        lambda path: np.save(path, np.zeros((6, 4, 4, 3), np.uint8)),
        lambda path: np.save(path, np.array([{}] * 7, object), allow_pickle=True),
        lambda path: np.savez(path.open("wb"), images=np.zeros((7, 4, 4, 3), np.uint8)),
        lambda path: path.write_bytes(b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16),
    ],
)
def test_damaged_ones_are_made_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    found = write_set(tmp_path)
    load_windows(tmp_path, "train", STEPS, sides={CAMERA: 4})
    (path,) = (tmp_path / ".images").iterdir()
    damage(path)
    batch = load_windows(tmp_path, "train", STEPS, sides={CAMERA: 4}).batch(np.arange(7))
    assert np.array_equal(batch[CAMERA][:, 1], shrink(found[:7], 4))


def test_another_data_set_in_its_place_has_images_of_its_own(tmp_path: Path) -> None:
    write_set(tmp_path)
    load_windows(tmp_path, "train", STEPS, sides={CAMERA: 4})
    load_windows(tmp_path, "train", STEPS, sides={CAMERA: 2})
    other = write_set(tmp_path, seed=1)
    batch = load_windows(tmp_path, "train", STEPS, sides={CAMERA: 4}).batch(np.arange(7))
    assert np.array_equal(batch[CAMERA][:, 1], shrink(other[:7], 4))
    assert len(list((tmp_path / ".images").iterdir())) == 2  # the old one of this size is gone


def test_files_that_are_edited_in_place_are_decoded_again(tmp_path: Path) -> None:
    """Its description is what it was, as of images that a script turned: their statistics are the same."""
    root, turned = tmp_path / "set", tmp_path / "turned"
    write_set(root)
    load_windows(root, "train", STEPS, sides={CAMERA: 4})
    other = write_set(turned, seed=1)
    shutil.rmtree(root / "data")
    shutil.copytree(turned / "data", root / "data")
    batch = load_windows(root, "train", STEPS, sides={CAMERA: 4}).batch(np.arange(7))
    assert np.array_equal(batch[CAMERA][:, 1], shrink(other[:7], 4))
    assert len(list((root / ".images").iterdir())) == 1


def test_two_at_once_do_not_take_each_others_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process writes the same images, and others make room for their own, while these are decoded."""
    found, decode, others = write_set(tmp_path), Dataset.decode, [1]

    def meanwhile(self: Dataset, stored: object, shape: tuple[int, ...]) -> np.ndarray:
        if others and others.pop():
            load_windows(tmp_path, "train", STEPS, sides={CAMERA: 4})
        return decode(self, stored, shape)

    monkeypatch.setattr(Dataset, "decode", meanwhile)
    windows = load_windows(tmp_path, "train", STEPS, sides={CAMERA: 4})
    for path in (tmp_path / ".images").iterdir():
        path.unlink()
    assert np.array_equal(windows.batch(np.arange(7))[CAMERA][:, 1], shrink(found[:7], 4))


def test_a_full_disk_is_an_error_and_no_crash(tmp_path: Path) -> None:
    """In a process that may write no file longer than its third image."""
    resource = pytest.importorskip("resource")
    write_set(tmp_path)
    script = (
        "import pathlib, resource, signal, sys, test_images\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (300, {resource.RLIM_INFINITY}))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from vla_datasets.lerobot.windows import load_windows\n"
        "load_windows(pathlib.Path(sys.argv[1]), 'train', test_images.STEPS, sides={test_images.CAMERA: 4})\n"
    )
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    made = subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=here, capture_output=True, text=True)
    assert "OutputError" in made.stderr and made.returncode == 1
    assert not list((tmp_path / ".images").iterdir())


@pytest.mark.parametrize("wrong", ["file", "link", "folder"])
def test_a_place_that_is_taken_is_said(tmp_path: Path, wrong: str) -> None:
    write_set(tmp_path)
    kept = tmp_path / ".images"
    if wrong == "file":
        kept.write_bytes(b"")
    elif wrong == "link":
        kept.symlink_to(tmp_path / "nowhere" / "else")
    else:
        load_windows(tmp_path, "train", STEPS, sides={CAMERA: 4})
        (path,) = kept.iterdir()
        path.unlink()
        path.mkdir()
    with pytest.raises(OutputError, match=r"\.images"):
        load_windows(tmp_path, "train", STEPS, sides={CAMERA: 4})


def test_kept_images_of_a_folder_that_cannot_be_written_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path)
    load_windows(tmp_path, "val", STEPS, sides={CAMERA: 8})
    monkeypatch.setattr(images.os, "access", lambda path, mode: False)
    monkeypatch.setattr(Dataset, "decode", decoded_again)
    load_windows(tmp_path, "val", STEPS, sides={CAMERA: 8})


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = write_set(tmp_path)
    monkeypatch.setattr(images.os, "access", lambda path, mode: False)
    batch = load_windows(tmp_path, "val", STEPS, sides={CAMERA: 8}).batch(np.arange(2))
    assert np.array_equal(batch[CAMERA][:, 1], found[7:]) and not (tmp_path / ".images").exists()


def test_an_error_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path)

    def fail(self: Dataset, stored: object, shape: object) -> None:
        raise DatasetError("damaged")

    monkeypatch.setattr(Dataset, "decode", fail)
    with pytest.raises(DatasetError, match="damaged"):
        load_windows(tmp_path, "val", STEPS, sides={CAMERA: 4})
    assert not list((tmp_path / ".images").iterdir())
