"""The on-disk form: round trip, and refusal of everything that does not fit."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vla_datasets.errors import DatasetError
from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.lerobot.reader import open_dataset
from vla_datasets.lerobot.writer import Episode, write_dataset
from vla_isa.files import whole_file

FEATURES = {
    "observation.images.front": Feature("image", (4, 4, 3)),
    "action": Feature("int64", (1,)),
    **BOOKKEEPING,
}
COLUMNS = {
    "observation.images.front": FEATURES["observation.images.front"].arrow_type(),
    "action": pa.int64(),
}
DATA = "data/chunk-000/file-000.parquet"


def _png(value: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(stream, format="PNG")
    return stream.getvalue()


def _episode(number: int, length: int) -> Episode:
    images = [_png(number * 10 + step) for step in range(length)]
    columns = {"observation.images.front": images, "action": list(range(length))}
    return Episode(seed=100 + number, task=f"task {number % 2}", columns=columns)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    blocks = [[_episode(0, 3), _episode(1, 2)], [_episode(2, 4)]]
    write_dataset(tmp_path, blocks, FEATURES, 10, "test", {"train": (0, 2), "val": (2, 3)}, {})
    return tmp_path


def test_round_trip(root: Path) -> None:
    dataset = open_dataset(root)
    episodes = list(dataset.read_episodes(range(3), COLUMNS))
    assert [e.task for e in episodes] == ["task 0", "task 1", "task 0"]
    assert [e.columns["action"] for e in episodes] == [[0, 1, 2], [0, 1], [0, 1, 2, 3]]
    image = dataset.decode(episodes[2].columns["observation.images.front"][3], (4, 4, 3))
    assert image.dtype == np.uint8 and (image == 23).all()
    assert [e["dataset_from_index"] for e in dataset.episodes] == [0, 3, 5]


def test_statistics_are_exact(root: Path) -> None:
    stats = json.loads((root / "meta/stats.json").read_text())
    values = np.array([0, 1, 2, 10, 11, 20, 21, 22, 23]) / 255
    image = stats["observation.images.front"]
    assert np.allclose(np.ravel(image["mean"]), values.mean()) and np.shape(image["mean"]) == (3, 1, 1)
    assert np.allclose(np.ravel(image["std"]), values.std())
    assert image["count"] == [9] and np.ravel(image["max"])[0] == pytest.approx(23 / 255)
    assert stats["action"]["mean"] == [pytest.approx(10 / 9)] and stats["action"]["max"] == [3.0]


def test_lerobot_conventions(root: Path) -> None:
    schema = pq.read_schema(root / "meta/tasks.parquet")
    assert json.loads(schema.metadata[b"pandas"])["index_columns"] == ["task"]
    data = pq.read_schema(root / DATA)
    features = json.loads(data.metadata[b"huggingface"])["info"]["features"]
    assert features["observation.images.front"] == {"_type": "Image"}
    assert data.field("timestamp").type == pa.float32()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _header(side: int, more: bytes) -> bytes:
    """A PNG that says it has side x side pixels, and has none."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + more + _chunk(b"IDAT", zlib.compress(b"")) + _chunk(b"IEND", b"")


def _no_utf8(path: Path) -> None:
    table = pq.read_table(path)
    starts = pa.py_buffer(np.arange(len(table) + 1, dtype=np.int32).tobytes())
    words = pa.Array.from_buffers(pa.string(), len(table), [None, starts, pa.py_buffer(b"\xff" * len(table))])
    pq.write_table(table.set_column(table.schema.get_field_index("task"), "task", words), path)


def _change_a_value(path: Path) -> None:
    """Flip one bit of the first page of the actions, as a disk does."""
    columns = pq.read_metadata(path).row_group(0)
    places = {columns.column(i).path_in_schema: columns.column(i) for i in range(columns.num_columns)}
    data = bytearray(path.read_bytes())
    column = places["action"]
    data[column.dictionary_page_offset + 40] ^= 1
    path.write_bytes(data)


def _edit_info(**changes: Any) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        path = root / "meta/info.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return edit


def _edit_data(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        pq.write_table(change(pq.read_table(root / DATA)), root / DATA)

    return edit


def _replace(name: str, values: list[Any], kind: pa.DataType | None = None) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        index = table.schema.get_field_index(name)
        return table.set_column(index, name, pa.array(values, kind or table.schema.field(name).type))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "meta/info.json").unlink(), "does not exist"),
        (lambda root: (root / "meta/info.json").write_text("{"), "is not JSON"),
        (_edit_info(codebase_version="v2.1"), "only v3.0 is read"),
        (_edit_info(data_path="../../{chunk_index}/{file_index}"), "data_path"),
        (_edit_info(total_frames=10), "10 frames, the episodes have 9"),
        (_edit_info(total_episodes=2), "2 episodes, meta/episodes has 3"),
        (_edit_info(total_tasks=-1), "total_tasks is -1"),
        (_edit_info(splits={"train": "0:2", "val": "1:3"}), "share episodes"),
        (_edit_info(splits={"train": "0:4"}), "within 3 episodes"),
        (_edit_info(features={"a": {"dtype": "video"}}), "are videos"),
        (lambda root: (root / DATA).write_bytes(b"PAR1"), "cannot be read"),
        (lambda root: (root / DATA).unlink(), "cannot be read"),
        (_edit_data(lambda table: table.drop(["action"])), "'action' is missing"),
        (_edit_data(_replace("action", [0.0] * 5, pa.float64())), "is double, not int64"),
        (_edit_data(_replace("action", [None] * 5)), "empty cells"),
        (_edit_data(_replace("episode_index", [0, 1, 0, 1, 1])), "expected 3"),
        (_edit_data(_replace("frame_index", [0, 2, 1, 0, 1])), "frame_index is not"),
        (_edit_data(_replace("task_index", [7] * 5)), "not one known task"),
        (_edit_data(lambda table: table.slice(0, 4)), "expected 2"),
        (_edit_data(lambda table: table.append_column("action", table["action"])), "'action' is there more than once"),
        (lambda root: (root / "meta/info.json").write_text("[" * 100_000), "nested too deep"),
        (lambda root: _no_utf8(root / "meta/tasks.parquet"), "UTF8|utf-8"),
        (lambda root: _change_a_value(root / DATA), "checksum"),
    ],
)
def test_damage_is_refused_with_a_reason(root: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(root)
    with pytest.raises(DatasetError, match=message):
        list(open_dataset(root).read_episodes(range(3), COLUMNS))


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"bytes": None, "path": "/etc/passwd"}, "no PNG bytes"),
        ({"bytes": b"GIF89a", "path": None}, "cannot be decoded"),
        ({"bytes": _png(0)[:-20], "path": None}, "cannot be decoded"),
        ({"bytes": _header(100_000, b""), "path": None}, "cannot be decoded: Image size"),
        ({"bytes": _header(4, _chunk(b"fcTL", b"")), "path": None}, "cannot be decoded"),
    ],
)
def test_bad_images_are_refused(root: Path, stored: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        open_dataset(root).decode(stored, (4, 4, 3))
    with pytest.raises(DatasetError, match="expected"):
        open_dataset(root).decode({"bytes": _png(0)}, (8, 8, 3))


def test_unknown_split(root: Path) -> None:
    with pytest.raises(DatasetError, match="no split 'test'; it has train, val"):
        open_dataset(root).split("test")


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), whole_file(tmp_path / "file") as path:
        path.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
