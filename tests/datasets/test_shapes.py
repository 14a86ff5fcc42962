"""Vectors and matrices: what is in the files, and statistics of each component, against numpy and pyarrow alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shaped_set
from shaped_set import FEATURES, IMAGE, LENGTHS, write_shaped_set

from vla_datasets.errors import DatasetError
from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.lerobot.reader import check_statistics, open_dataset, read_statistics
from vla_datasets.lerobot.windows import load_windows
from vla_datasets.lerobot.writer import Episode, write_dataset

VALUES = [name for name in FEATURES if name not in (IMAGE, *BOOKKEEPING)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    root = tmp_path_factory.mktemp("shaped")
    return root, write_shaped_set(root)


@pytest.mark.parametrize("name", VALUES)
def test_the_files_hold_the_arrays(made: tuple[Path, dict[str, np.ndarray]], name: str) -> None:
    root, arrays = made
    tables = [pq.read_table(p) for p in sorted(root.glob("data/chunk-*/file-*.parquet"))]
    stored = np.array([row for table in tables for row in table[name].to_pylist()])
    assert np.array_equal(stored.reshape(arrays[name].shape), arrays[name])
    read = [e.columns[name] for e in open_dataset(root).read_episodes(range(3), {name: FEATURES[name].arrow_type()})]
    assert [len(rows) for rows in read] == list(LENGTHS)
    assert np.array_equal(np.concatenate([np.array(rows) for rows in read]).reshape(arrays[name].shape), arrays[name])


@pytest.mark.parametrize("name", VALUES)
def test_statistics_are_of_each_component(made: tuple[Path, dict[str, np.ndarray]], name: str) -> None:
    root, arrays = made
    found, values = json.loads((root / "meta/stats.json").read_text())[name], arrays[name].astype(np.float64)
    wanted = {"min": np.min, "max": np.max, "mean": np.mean, "std": np.std}
    for key, function in wanted.items():
        assert np.shape(found[key]) == FEATURES[name].shape
        assert np.allclose(found[key], function(values, axis=0), rtol=1e-12), key
    ordered = np.sort(values, axis=0)
    for key, level in {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}.items():
        place = level * (len(ordered) - 1)  # between the values below and above, in proportion
        low, share = int(place), place - int(place)
        between = ordered[low] + share * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])
        assert np.allclose(found[key], between), key
    assert found["count"] == [sum(LENGTHS)]


def test_arrow_types() -> None:
    assert Feature("float32", (6,)).arrow_type() == pa.list_(pa.float32(), 6)
    assert Feature("float32", (2, 4)).arrow_type() == pa.list_(pa.list_(pa.float32()))
    assert Feature("float32", (1, 1)).arrow_type() == pa.list_(pa.list_(pa.float32()))


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [("float16", (1,)), ("float32", ()), ("float32", (0,)), ("float32", (1,) * 6), ("image", (4, 4)), ("image", (1,))],
)
def test_features_that_cannot_be_stored(dtype: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(DatasetError, match=r"a feature's (dtype|shape) is"):
        Feature(dtype, shape)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([[1.0, 2.0, 3.0]] * 4, r"shape \[4, 3\] in an episode of 3 frames"),
        ([[1.0, 2.0]] * 3, r"\[3\] for each frame makes \[3, 3\]"),
        ([1.0] * 3, r"\[3\] for each frame makes \[3, 3\]"),
        ([[1.0, 2.0, 3.0], [1.0], [1.0, 2.0, 3.0]], "is no array of float32"),
        ([["a", "b", "c"]] * 3, "is no array of float32"),
        ([[1.0, 2.0, float("nan")]] * 3, "has a value that is no finite number"),
    ],
)
def test_values_of_another_shape_are_refused(values: list[object], reason: str, tmp_path: Path) -> None:
    features = {"action": Feature("int64", (1,)), "observation.state": Feature("float32", (3,)), **BOOKKEEPING}
    episode = Episode(0, "t", {"action": [0, 1, 2], "observation.state": values})
    with pytest.raises(DatasetError, match=f"'observation.state'.*{reason}"):
        write_dataset(tmp_path, [[episode]], features, 10, "test", {}, {})
    assert list(tmp_path.iterdir()) == []


def _edit(name: str, values: object) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        path = root / "data/chunk-000/file-000.parquet"
        table = pq.read_table(path)
        column = pa.array([values] * len(table), table.schema.field(name).type)
        pq.write_table(table.set_column(table.schema.get_field_index(name), name, column), path)

    return edit


def _info(name: str, **changes: object) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        info = json.loads((root / "meta/info.json").read_text())
        info["features"][name] |= changes
        (root / "meta/info.json").write_text(json.dumps(info))

    return edit


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            _edit("observation.state", [math.nan, 1, 2]),
            r"episode 0: 'observation.state' is \[nan, 1.0, 2.0\] in frame 0",
        ),
        (_edit("observation.state", [math.inf, 1, 2]), "every value must be a finite number"),
        (_edit("observation.state", [None, 1, 2]), "column 'observation.state' has empty cells"),
        (_edit("observation.tactile", [[None] * 4] * 2), "column 'observation.tactile' has empty cells"),
        (_edit("observation.tactile", [None, None]), "column 'observation.tactile' has empty cells"),
        (_edit("observation.tactile", [[1.0], [2.0, 3.0]]), "values that are not of shape"),
        (_edit("observation.tactile", [[1.0, 2.0]] * 4), r"values of shape \(4, 2\), not \(2, 4\)"),
        (
            _info("observation.state", shape=[math.inf]),
            r"feature 'observation.state' is .*; it needs a dtype and a shape",
        ),
        (_info("observation.state", shape=[3.7]), "it needs a dtype and a shape"),
        (_info("observation.state", shape="3"), "it needs a dtype and a shape"),
        (_info("observation.state", dtype="uint8"), "info.json: 'observation.state': a feature's dtype is 'uint8'"),
    ],
)
def test_values_that_are_no_numbers_of_the_shape_are_refused(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    write_shaped_set(tmp_path)
    damage(tmp_path)
    with pytest.raises(DatasetError, match=message):
        load_windows(tmp_path, "train", dict.fromkeys(VALUES, (0,)))


@pytest.mark.parametrize("pixels", [np.zeros((8, 7, 3), np.uint8), np.zeros((8, 6), np.uint8), None])
def test_images_of_another_shape_are_not_written(tmp_path: Path, pixels: np.ndarray | None) -> None:
    features = {IMAGE: Feature("image", (8, 6, 3)), **BOOKKEEPING}
    png = b"PNG" if pixels is None else shaped_set._png(pixels)
    with pytest.raises(DatasetError, match=rf"'{IMAGE}' has an image (of uint8 \[8, [67](, 3)?\]|that is no PNG)"):
        write_dataset(tmp_path, [[Episode(0, "t", {IMAGE: [png]})]], features, 10, "test", {}, {})


@pytest.mark.parametrize("text", ["", "[]", "null", '{"action": 3}', "[" * 100_000])
def test_damaged_statistics_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "meta").mkdir()
    with pytest.raises(DatasetError, match=r"stats.json cannot be read"):
        read_statistics(tmp_path)
    (tmp_path / "meta/stats.json").write_text(text)
    with pytest.raises(DatasetError, match=r"stats.json (cannot be read|holds no statistics)"):
        read_statistics(tmp_path)


def test_statistics_of_another_set_are_refused(tmp_path: Path) -> None:
    features = {"constant": Feature("float32", (2,)), "moving": Feature("float32", (1,)), **BOOKKEEPING}
    columns = {"constant": [[0.1, -7.3]] * 7, "moving": [[0.1 * n] for n in range(7)]}
    write_dataset(tmp_path, [[Episode(0, "t", columns)]], features, 10, "test", {}, {})
    path = tmp_path / "meta/stats.json"
    good = json.loads(path.read_text())
    check_statistics(open_dataset(tmp_path))
    for name, change, message in (
        ("moving", {"count": [8]}, r"'moving' counts \[8\] frames, and the set has 7: they are another set's"),
        ("moving", {"mean": [3.0]}, "'moving' is damaged: a mean or a deviation is not between"),
        ("constant", {"std": [-1.0, 0.0]}, "'constant' is damaged: a mean"),
        ("constant", {"std": [1e308, 0.0]}, "'constant' is damaged: a mean"),
        ("moving", {"max": [float("nan")]}, "'moving' is damaged|cannot be read"),
        ("moving", {"std": "a"}, "'moving' is damaged: could not convert"),
        ("moving", {"std": [[1, 2, 3]] * 2 + [[1]]}, "'moving' is damaged"),
    ):
        path.write_text(json.dumps({**good, name: {**good[name], **change}}))
        with pytest.raises(DatasetError, match=message):
            check_statistics(open_dataset(tmp_path))
    path.write_text(json.dumps({"moving": {}}))
    with pytest.raises(DatasetError, match="'moving' is damaged: 'min'"):
        check_statistics(open_dataset(tmp_path))


def test_a_task_with_half_a_character_is_refused(tmp_path: Path) -> None:
    episode = Episode(0, "half a \ud83d", {"moving": [[0.0]]})
    with pytest.raises(DatasetError, match=r"the task 'half a \\ud83d' is no text"):
        write_dataset(tmp_path, [[episode]], {"moving": Feature("float32", (1,)), **BOOKKEEPING}, 10, "test", {}, {})
