"""LeRobot's Push-T, in all its layouts, becomes our set frame by frame; what is damaged or foreign is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from recorded_pusht import LENGTHS, check_frames, imported, png, truth, write_film, write_lerobot

from vla_datasets.cli import main
from vla_datasets.errors import CollectError, DatasetError
from vla_datasets.import_.write import import_recording
from vla_datasets.keys import ACTION, REWARD, STATE, TASK
from vla_datasets.lerobot.reader import open_dataset
from vla_datasets.lerobot.windows import load_windows
from vla_datasets.worlds.pusht_pixels.schema import GOAL_IMAGE, IMAGE
from vla_isa.errors import OutputError

LAYOUTS = [("v2.0", False), ("v2.1", False), ("v3.0", False), ("v3.0", True)]


@pytest.mark.parametrize(("version", "plain_lists"), LAYOUTS)
def test_keypoints(tmp_path: Path, version: str, plain_lists: bool) -> None:
    numbers = truth()
    write_lerobot(tmp_path / "in", numbers, version, plain_lists=plain_lists)
    found = imported(tmp_path / "in", tmp_path / "out")
    check_frames(found, numbers)
    assert np.array_equal(found[REWARD], numbers.reward) and IMAGE not in found
    dataset = open_dataset(tmp_path / "out")
    assert dataset.splits == {"train": (0, 2), "val": (2, 3)} and list(dataset.tasks.values()) == [
        "push the T onto its goal"
    ]
    origin = {"imported": "in", "form": f"LeRobotDataset {version}"}
    assert dataset.info["collection"] == {"world": "pusht", "level": "fixed", **origin}
    windows = load_windows(tmp_path / "out", "train", {ACTION: (-1, 0, 1), STATE: (0,)})
    assert len(windows) == LENGTHS[0] + LENGTHS[1] and windows.batch(np.array([0]))[TASK]


@pytest.mark.parametrize(("version", "plain_lists"), LAYOUTS[1:])
@pytest.mark.parametrize("pictures", ["image", "video"])
def test_pictures(tmp_path: Path, version: str, plain_lists: bool, pictures: str) -> None:
    pytest.importorskip("gym_pusht", reason="the goal's picture is drawn")
    if pictures == "video":
        pytest.importorskip("av", reason="pip install '.[import]'")
    numbers = truth()
    write_lerobot(tmp_path / "in", numbers, version, pictures, keypoints=False, plain_lists=plain_lists)
    found = imported(tmp_path / "in", tmp_path / "out")
    check_frames(found, numbers, keypoints=False)
    away = np.abs(found[IMAGE][:, np.newaxis].astype(int) - numbers.images).mean(axis=(2, 3, 4))
    if pictures == "image":
        assert np.array_equal(found[IMAGE], numbers.images)
    else:  # what the codec lost is less than what parts one frame from the next
        assert np.array_equal(away.argmin(axis=1), np.arange(len(numbers.images))) and away.diagonal().max() < 4
    assert (found[GOAL_IMAGE] == found[GOAL_IMAGE][0]).all()
    assert open_dataset(tmp_path / "out").info["collection"]["world"] == "pusht_pixels"


def test_keypoints_beside_pictures(tmp_path: Path) -> None:
    """The pictures are left out where they are not asked for, and read where they are."""
    pytest.importorskip("gym_pusht", reason="the goal's picture is drawn")
    numbers = truth()
    write_lerobot(tmp_path / "in", numbers, "v3.0", "image")
    assert IMAGE not in imported(tmp_path / "in", tmp_path / "places")
    both = imported(tmp_path / "in", tmp_path / "both", "pusht_pixels")
    check_frames(both, numbers)
    assert np.array_equal(both[IMAGE], numbers.images)


def test_our_own_set_comes_through(tmp_path: Path) -> None:
    numbers = truth()
    write_lerobot(tmp_path / "in", numbers, "v2.1")
    first = imported(tmp_path / "in", tmp_path / "one")
    again = imported(tmp_path / "one", tmp_path / "two")
    assert first.keys() == again.keys() and all(np.array_equal(first[name], again[name]) for name in first)


def test_equal_recordings_give_equal_bytes(tmp_path: Path) -> None:
    for place in ("a", "b"):
        write_lerobot(tmp_path / place / "in", truth(), "v2.1")
        import_recording(tmp_path / place / "in", tmp_path / place / "out")
    files = [p.relative_to(tmp_path / "a") for p in (tmp_path / "a" / "out").rglob("*") if p.is_file()]
    assert len(files) == 5
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)


def test_a_policy_is_trained_on_it(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="pip install .[train]")
    from vla_training.cli import main as train

    write_lerobot(tmp_path / "in", truth((30, 20, 25)), "v2.1")
    assert main(["import", str(tmp_path / "in"), "--out", str(tmp_path / "data")]) == 0
    short = ["--steps", "2", "--batch-size", "8", "--save-every", "2", "--validate-every", "2"]
    where = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "run")]
    assert train(["train", "--config", "pusht_flow", *where, *short]) == 0


Break = Callable[[Path], Any]


def changed(name: str, **values: Any) -> Break:
    """Other values in a JSON file's object."""

    def change(root: Path) -> None:
        path = root / name
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def column(name: str, make: Callable[[pa.Array], Any], file: str = "data/chunk-000/file-000.parquet") -> Break:
    """Other values in a column of a parquet file."""

    def change(root: Path) -> None:
        table = pq.read_table(root / file)
        made = pa.array(make(table[name].to_pylist()))
        pq.write_table(table.set_column(table.schema.get_field_index(name), name, made), root / file)

    return change


def cut(name: str) -> Break:
    return lambda root: (root / name).write_bytes((root / name).read_bytes()[:-200])


def with_first(value: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [value, *values[1:]]


def feature(name: str, **values: Any) -> Break:
    def change(root: Path) -> None:
        info = json.loads((root / "meta/info.json").read_text())
        changed("meta/info.json", features=info["features"] | {name: values})(root)

    return change


def mirrored(rows: list[Any]) -> list[Any]:
    """Corners with left and right exchanged: the same distances, another order."""
    return [np.reshape(row, (4, 2, 2))[:, ::-1].ravel().tolist() for row in rows]


NAN = float("nan")
KEYS = "observation.environment_state"
FILE, EPISODES = "data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet"

V3: dict[str, tuple[Break, str]] = {
    "version": (changed("meta/info.json", codebase_version="v1.6"), "codebase_version is 'v1.6'; v2.0, v2.1, v3.0"),
    "fps": (changed("meta/info.json", fps=30), "fps is 30; Push-T has 10"),
    "traversal": (changed("meta/info.json", data_path="../../{chunk_index}"), r"data_path is '\.\./\.\./"),
    "video traversal": (changed("meta/info.json", video_path="/etc/{video_key}"), "video_path is '/etc/"),
    "no features": (changed("meta/info.json", features=None), "'features' is missing"),
    "no JSON": (lambda root: (root / "meta/info.json").write_text("{"), "info.json cannot be read"),
    "nested": (lambda root: (root / "meta/info.json").write_text("[" * 100_000), "nested too deep"),
    "huge info": (lambda root: (root / "meta/info.json").write_text(" " * 10_000_001), "10,000,001 bytes; at most"),
    "episodes missing": (changed("meta/info.json", total_episodes=4), r"says \(4, 16\) .* its episodes are \(3, 16\)"),
    "too few frames": (changed("meta/info.json", total_frames=15), r"says \(3, 15\)"),
    "fewer episodes": (changed("meta/info.json", total_episodes=2), "has 3 rows; the set announces 2"),
    "a text count": (changed("meta/info.json", total_episodes="3"), "total_episodes is '3'"),
    "another task": (feature("observation.state", dtype="float32", shape=[14]), r"'observation.state' is .*\[14\]"),
    "no action": (feature("action"), "'action' is None of shape None"),
    "cut data": (cut(FILE), f"{FILE} cannot be read"),
    "cut episodes": (cut(EPISODES), f"{EPISODES} cannot be read"),
    "no data": (lambda root: (root / FILE).unlink(), f"{FILE} cannot be read"),
    "no number": (column("action", with_first([1.0, NAN])), r"episode 0: 'action' is \[1.0, nan\] in frame 0"),
    "infinite": (column("observation.state", with_first([float("inf"), 1.0])), "'observation.state' is .inf"),
    "empty cell": (column("action", with_first(None)), "'action' has empty cells"),
    "empty number": (column("action", with_first([None, 1.0])), "'action' has empty cells"),
    "wide": (
        column("action", lambda v: [[1.0, 2.0, 3.0]] * len(v)),
        r"'action' has vectors of \[3\] numbers, not of 2",
    ),
    "ragged": (column("action", with_first([1.0])), r"vectors of \[1, 2\] numbers"),
    "text": (column("action", lambda v: ["a"] * len(v)), "'action' holds string, not vectors of 2 numbers"),
    "scalars": (column("action", lambda v: [1.0] * len(v)), "'action' holds double, not vectors"),
    "reward": (column("next.reward", with_first(7.0)), r"'next.reward' is \[7.0\] in frame 0; it must be 0 to 1"),
    "far": (column("observation.state", with_first([1e6, 0.0])), "must be -512 to 1024"),
    "other order": (column(KEYS, lambda v: [row[2:] + row[:2] for row in v]), "px from a T; they must be the block's"),
    "mirrored": (column(KEYS, mirrored), "px from a T"),
    "episode missing": (column("episode_index", lambda v: [9] * len(v)), "episode 0: 0 frames, expected 4"),
    "other frames": (column("frame_index", lambda v: v[::-1]), r"frame_index is not 0\.\.3"),
    "row of another": (column("episode_index", lambda v: v[::-1], EPISODES), "is no row of episode 0"),
    "negative file": (column("data/file_index", lambda v: [-1, 0, 0], EPISODES), "is no row of episode 0"),
    "long episode": (column("length", lambda v: [10**12, 7, 5], EPISODES), "says .3, 16. .* 1000000000012"),
    "empty episode": (column("length", lambda v: [0, 11, 5], EPISODES), "episode 0 has 0 frames; it must be 1 to"),
}

LINES = "meta/episodes.jsonl"
V2: dict[str, tuple[Break, str]] = {
    "chunks": (changed("meta/info.json", chunks_size=0), "chunks_size is 0; it must be 1 to"),
    "traversal": (changed("meta/info.json", data_path="../{episode_index}"), r"data_path is '\.\./"),
    "no lines": (lambda root: (root / LINES).unlink(), "episodes.jsonl cannot be read"),
    "a cut line": (lambda root: (root / LINES).write_bytes((root / LINES).read_bytes()[:-9]), "cannot be read"),
    "episode missing": (lambda root: (root / LINES).write_text('{"episode_index": 1, "length": 4}'), "0 is missing"),
    "text length": (lambda root: (root / LINES).write_text('{"episode_index": 0, "length": "4"}'), "needs whole"),
    "no object": (lambda root: (root / LINES).write_text("3"), "object 0 is 3"),
    "file missing": (lambda root: (root / "data/chunk-001/episode_000002.parquet").unlink(), "000002.parquet cannot"),
    "rows": (column("frame_index", lambda v: [*v[1:], 0], "data/chunk-000/episode_000001.parquet"), "is not 0..6"),
}
CASES = [("v3.0", *case) for case in V3.items()] + [("v2.1", *case) for case in V2.items()]


@pytest.mark.parametrize(("version", "name", "case"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_hostile_and_damaged_sets(tmp_path: Path, version: str, name: str, case: tuple[Break, str]) -> None:
    source = tmp_path / "in"
    write_lerobot(source, truth(), version)
    case[0](source)
    with pytest.raises(DatasetError, match=case[1]) as error:
        import_recording(source, tmp_path / "out")
    assert str(source) in str(error.value)  # the file
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]  # nothing half-written


def test_more_rows_than_announced_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lerobot(tmp_path / "in", truth(), "v3.0")
    path = tmp_path / "in" / FILE
    pq.write_table(pa.concat_tables([pq.read_table(path)] * 9), path)
    with pytest.raises(DatasetError, match="has 99 rows; the set announces 16"):
        import_recording(tmp_path / "in", tmp_path / "out")
    write_lerobot(tmp_path / "large", truth(), "v2.1")
    monkeypatch.setattr("vla_datasets.import_.parquet._MOST_BYTES", 100)
    with pytest.raises(DatasetError, match=r"000000.parquet unpacks to [\d,]+ bytes; at most 100 are read"):
        import_recording(tmp_path / "large", tmp_path / "out")


@pytest.mark.parametrize("found", [b"GIF89a", png(np.zeros((200, 96, 3), np.uint8)), None])
def test_pictures_that_are_none(tmp_path: Path, found: bytes | None) -> None:
    pytest.importorskip("gym_pusht", reason="the goal's picture is drawn")
    write_lerobot(tmp_path / "in", truth(), "v3.0", "image")
    column("observation.image", with_first({"bytes": found, "path": "/etc/passwd"}))(tmp_path / "in")
    with pytest.raises(DatasetError, match="episode 0: an image"):
        import_recording(tmp_path / "in", tmp_path / "out", "pusht_pixels")
    assert not (tmp_path / "out").exists()


def test_videos_that_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gym_pusht", reason="the goal's picture is drawn")
    pytest.importorskip("av", reason="pip install '.[import]'")
    numbers, source = truth(), tmp_path / "in"
    write_lerobot(source, numbers, "v3.0", "video", keypoints=False)
    film = source / "videos/observation.image/chunk-000/file-000.mp4"
    whole = film.read_bytes()
    inside = whole[1500:1540]  # of a picture
    broken: list[tuple[Callable[[], Any], str]] = [
        (lambda: write_film(film, numbers.images[:9]), r"no frame at 0.90 s, the 5th of 7"),
        (lambda: write_film(film, numbers.images[:11], skip=(6,)), r"no frame at 0.60 s, the 2th of 7"),
        (lambda: write_film(film, np.zeros((12, 64, 128, 3), np.uint8), (64, 128)), "of 64 x 128, not 96 x 96"),
        (lambda: film.write_bytes(whole[:400]), "cannot be decoded"),
        (lambda: film.write_bytes(whole.replace(inside, bytes(b ^ 90 for b in inside))), "cannot be decoded"),
        (lambda: film.write_text("#EXTM3U\n/etc/passwd\n"), "cannot be decoded"),
        (lambda: film.unlink(), "does not exist"),
    ]
    for change, message in broken:
        change()
        with pytest.raises(DatasetError, match=message):
            import_recording(source, tmp_path / "out")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(CollectError, match=r"videos needs the package 'av'.*vla-toolchain\[import\]"):
        import_recording(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_a_world_needs(tmp_path: Path) -> None:
    write_lerobot(tmp_path / "pictures", truth(), "v3.0", "image", keypoints=False)
    write_lerobot(tmp_path / "places", truth(), "v3.0")
    with pytest.raises(CollectError, match=r"does not say where the block is.*--world pusht_pixels"):
        import_recording(tmp_path / "pictures", tmp_path / "out", "pusht")
    with pytest.raises(CollectError, match=r"has no pictures.*--world pusht"):
        import_recording(tmp_path / "places", tmp_path / "out", "pusht_pixels")
    write_lerobot(tmp_path / "one", truth((5,)), "v2.1")
    with pytest.raises(DatasetError, match="has 1 episodes; a set to learn from has 2"):
        import_recording(tmp_path / "one", tmp_path / "out")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lerobot(tmp_path / "in", truth(), "v2.1")
    command = ["import", str(tmp_path / "in"), "--out", str(tmp_path / "sets" / "out")]
    assert main(command) == 0
    said = "out: 3 episodes of pusht, 16 frames, 1 held out (LeRobotDataset v2.1)\n"
    assert capsys.readouterr().out.endswith(said)
    assert main(command) == 1
    assert "is there already; choose another --out" in capsys.readouterr().err
    assert main(["import", str(tmp_path / "none"), "--out", str(tmp_path / "x")]) == 1
    assert "does not exist; give the folder" in capsys.readouterr().err
    assert main(["import", str(tmp_path), "--out", str(tmp_path / "x")]) == 1
    assert "is no recording that is read" in capsys.readouterr().err
    assert main([*command[:2], "--out", str(tmp_path / "x"), "--validation-fraction", "1"]) == 1
    assert main([*command[:2], "--out", str(tmp_path / "x"), "--world", "babyai"]) == 2


def test_nothing_is_left_of_an_import_that_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When files have been written: the last episode is damaged, or somebody presses Ctrl-C."""
    monkeypatch.setattr("vla_datasets.import_.write._EPISODES_PER_BLOCK", 1)
    write_lerobot(tmp_path / "in", truth(), "v2.1")
    seen: list[int] = []

    def stop(done: int, total: int) -> None:
        seen.append(len(list(tmp_path.iterdir())))
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_recording(tmp_path / "in", tmp_path / "out", progress=stop)
    assert seen[-1] == 2  # the recording, and what was written
    column("action", with_first([NAN, 1.0]), "data/chunk-001/episode_000002.parquet")(tmp_path / "in")
    with pytest.raises(DatasetError, match="episode 2: 'action'"):
        import_recording(tmp_path / "in", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_an_empty_folder_is_taken_and_a_full_one_is_not(tmp_path: Path) -> None:
    write_lerobot(tmp_path / "in", truth(), "v2.1")
    (tmp_path / "out").mkdir()
    import_recording(tmp_path / "in", tmp_path / "out")
    assert open_dataset(tmp_path / "out")
    with pytest.raises(OutputError, match="is there already"):
        import_recording(tmp_path / "in", tmp_path / "in")
