"""Images as numbers of tiles: the same pixels, decoded once, refused where tiles are not few."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from shaped_set import IMAGE, write_shaped_set

from vla_datasets.errors import DatasetError
from vla_datasets.lerobot import tiles, windows
from vla_datasets.lerobot.reader import Dataset
from vla_datasets.lerobot.tiles import TileTable
from vla_datasets.lerobot.windows import load_windows

NUMBERS, TABLE = f"{IMAGE}:numbers", f"{IMAGE}:table"
STEPS = {IMAGE: (-1, 0), "action": (0,)}


def images(batch: dict[str, np.ndarray], tile: int = 2) -> np.ndarray:
    """The pixels of a batch, put together tile by tile."""
    numbers, table = batch[IMAGE], batch[f"{IMAGE}_tiles"]
    found = np.zeros((*numbers.shape[:2], numbers.shape[2] * tile, numbers.shape[3] * tile, 3), np.uint8)
    for place in np.ndindex(numbers.shape):
        n, step, row, column = place
        area = np.s_[n, step, row * tile : (row + 1) * tile, column * tile : (column + 1) * tile]
        found[area] = table[numbers[place]]
    return found


def test_the_pixels_are_those_of_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shaped_set(tmp_path)
    everything = np.arange(8)
    plain = load_windows(tmp_path, "train", STEPS).batch(everything)
    first = load_windows(tmp_path, "train", STEPS, tile=2).batch(everything)

    def decode(*arguments: object) -> None:
        raise AssertionError("the images are decoded again")

    monkeypatch.setattr(Dataset, "decode", decode)
    again = load_windows(tmp_path, "train", STEPS, tile=2).batch(everything)
    for found in (first, again):
        assert np.array_equal(images(found), plain[IMAGE])
        assert set(found) == {*plain, f"{IMAGE}_tiles"}
        assert all(np.array_equal(found[key], plain[key]) for key in plain if key != IMAGE)


def _flipped(content: bytes) -> bytes:
    """With a bit changed in the first array's compressed numbers."""
    place = 30 + int.from_bytes(content[26:28], "little") + int.from_bytes(content[28:30], "little") + 20
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


def _with(change: Callable[[dict[str, np.ndarray]], None]) -> Callable[[Path], None]:
    """The cache with other arrays."""

    def damage(path: Path) -> None:
        with np.load(path) as stored:
            arrays = dict(stored)
        change(arrays)
        np.savez_compressed(path, **arrays)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"PK"),
        lambda path: path.write_bytes(b"hello"),
        lambda path: path.write_bytes(path.read_bytes()[:-30]),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.write_bytes(_flipped(path.read_bytes())),
        _with(lambda arrays: arrays[NUMBERS].fill(65535)),
        _with(lambda arrays: arrays.update({NUMBERS: arrays[NUMBERS][:-1]})),
        _with(lambda arrays: arrays.update({NUMBERS: arrays[NUMBERS][:, :-1]})),
        _with(lambda arrays: arrays.update({NUMBERS: arrays[NUMBERS].astype(np.float32)})),
        _with(lambda arrays: arrays.update({TABLE: arrays[TABLE][:1]})),
        _with(lambda arrays: arrays.update({TABLE: arrays[TABLE][..., :1]})),
    ],
)
def test_a_cache_that_is_of_no_use_is_made_again(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    write_shaped_set(tmp_path)
    before = load_windows(tmp_path, "train", STEPS, tile=2).batch(np.arange(8))
    damage(tmp_path / ".tiles/train-2.npz")
    after = load_windows(tmp_path, "train", STEPS, tile=2).batch(np.arange(8))
    assert np.array_equal(images(after), images(before))


def test_a_data_set_that_changed_is_read_again(tmp_path: Path) -> None:
    write_shaped_set(tmp_path)
    load_windows(tmp_path, "train", STEPS, tile=2)
    info = tmp_path / "meta/info.json"
    info.write_text(info.read_text().replace('"test"', '"other"'))
    assert tiles.read_cache(tmp_path, "train", 2) is None


def test_tiles_are_numbered_as_they_come() -> None:
    table = TileTable(1)
    rows = np.array([[5, 5, 7], [7, 9, 5]], np.uint8)[:, None, :, None].repeat(3, 3)
    found = [table.encode(rows[n : n + 1]).ravel().tolist() for n in range(2)]
    values = table.table()[:, 0, 0, 0]
    assert [[values[n] for n in row] for row in found] == [[5, 5, 7], [7, 9, 5]]
    assert sorted(values) == [5, 7, 9]


def test_what_is_not_made_of_few_tiles_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shaped_set(tmp_path)
    with pytest.raises(DatasetError, match="8 x 6 pixels are not made of tiles of 4 x 4"):
        load_windows(tmp_path, "train", STEPS, tile=4)
    monkeypatch.setattr(tiles, "MOST_TILES", 5)
    with pytest.raises(DatasetError, match=r"more than 5 different tiles of 2 x 2 pixels.*without 'tile_cache'"):
        windows.load_windows(tmp_path, "train", STEPS, tile=2)
    assert not (tmp_path / ".tiles").exists()
