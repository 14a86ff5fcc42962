"""Drives as the earlier CARLA system's CSV, and which of their frames are candidates for training."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vla_datasets.cli import main
from vla_datasets.errors import CollectError, DatasetError
from vla_datasets.keys import ACTION, DONE, REWARD, STATE
from vla_datasets.lerobot.writer import Episode, write_dataset
from vla_datasets.worlds.driving.balance import BALANCES, candidates
from vla_datasets.worlds.driving.csv_table import COLUMNS, export_csv
from vla_datasets.worlds.driving.schema import COMMAND, COMMANDS, CONCEPTS, IMAGE, LOCATION, SCHEMA, concept
from vla_datasets.worlds.registry import find_world
from vla_isa.errors import OutputError


def png(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (256, 256), (shade, 0, 0)).save(stream, format="PNG")
    return stream.getvalue()


def episode(number: int, commands: list[int]) -> Episode:
    frames = len(commands)
    columns: dict[str, list[Any]] = {
        IMAGE: [png(number * 100 + n) for n in range(frames)],
        STATE: [0.5 * n for n in range(frames)],
        LOCATION: [[float(n), -2.0 * number] for n in range(frames)],
        COMMAND: commands,
        ACTION: [[-0.25, 0.5, 0.0] if n % 2 else [0.125, 0.0, 1.0] for n in range(frames)],
        REWARD: [0.0] * frames,
        DONE: [False] * (frames - 1) + [True],
        **{concept(name): [name == "env_rain"] * frames for name in CONCEPTS},
    }
    return Episode(number, "drive along the route", columns)


def made(root: Path, level: str, *commands: list[int]) -> Path:
    write_dataset(
        root,
        blocks=[[episode(n, part) for n, part in enumerate(commands)]],
        features=SCHEMA.features,
        fps=10,
        robot_type="driving",
        splits={"train": (0, 1), "val": (1, len(commands))},
        collection={"world": "driving", "level": level},
    )
    return root


def test_the_columns_of_the_earlier_system(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = made(tmp_path / "set", "rain+traffic+pushed", [2, 2, 7], [3, 0])
    out = tmp_path / "csv"
    assert main(["csv", str(root), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: data.csv with 5 rows\n"
    rows = list(csv.DictReader((out / "data.csv").open(newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert [row["image_path"] for row in rows] == [f"images/{n:06d}_c.png" for n in range(5)]
    assert [row["instruction"] for row in rows] == [COMMANDS[n] for n in (2, 2, 7, 3, 0)]
    assert [(row["steer"], row["throttle"], row["brake"]) for row in rows[:2]] == [
        ("0.125", "0.0", "1.0"),
        ("-0.25", "0.5", "0.0"),
    ]
    assert [float(row["speed"]) for row in rows] == [0, 0.5, 1, 0, 0.5]
    assert [(float(row["location_x"]), float(row["location_y"])) for row in rows[2:4]] == [(2, 0), (0, -2)]
    assert {(row["scenario"], row["is_rainy"], row["is_crowded"]) for row in rows} == {
        ("rain+traffic+pushed", "True", "True")
    }
    for n, shade in enumerate((0, 1, 2, 100, 101)):
        assert Image.open(out / rows[n]["image_path"]).getpixel((9, 9)) == (shade, 0, 0)


def test_a_trajectory_is_an_episode_and_none_of_its_frames_is_left_out(tmp_path: Path) -> None:
    """The earlier system counted trajectories by rows, and lost those that were no candidates: the frame before was not
    the one before in time."""
    root = made(tmp_path / "set", "clear", [0] * 30, [6] * 30)
    assert export_csv(root, tmp_path / "csv") == 60
    rows = list(csv.DictReader((tmp_path / "csv/data.csv").open(newline="")))
    assert [row["trajectory_id"] for row in rows] == ["0"] * 30 + ["1"] * 30
    assert [float(row["location_x"]) for row in rows] == [*range(30)] * 2
    chosen = [row["is_train_candidate"] for row in rows]
    assert 10 <= chosen[:30].count("True") < 30 and 0 < chosen[30:].count("True") < 15
    assert {row["scenario"] for row in rows} == {"base"}


@pytest.mark.parametrize(
    ("level", "scenario"),
    [
        ("clear+pushed", "base"),
        ("rain", "weather"),
        ("clear+traffic", "dynamic"),
        ("clear+traffic@Town03", "dynamic"),
        ("night", "night"),
    ],
)
def test_scenarios(tmp_path: Path, level: str, scenario: str) -> None:
    export_csv(made(tmp_path / "set", level, [0], [1]), tmp_path / "csv")
    rows = list(csv.DictReader((tmp_path / "csv/data.csv").open(newline="")))
    assert {row["scenario"] for row in rows} == {scenario}
    assert {row["is_crowded"] for row in rows} == {str("traffic" in level)}


@pytest.mark.parametrize(
    ("by", "steer", "shares"),
    [
        ("command", 0.0, (0.70, 0.80, 1, 1, 1, 1, 0.15, 0.15, 0.15)),
        ("steering", 0.049, (0.10, 1, 1, 1, 1, 1, 1, 1, 1)),
        ("steering", -0.051, (1,) * 9),
    ],
)
def test_shares_of_candidates(by: str, steer: float, shares: tuple[float, ...]) -> None:
    count = 4000
    commands = np.repeat(np.arange(9), count)
    steers = np.full(len(commands), steer, np.float32)
    found = candidates(commands, steers, np.random.default_rng(3), by).reshape(9, count).mean(axis=1)
    assert np.allclose(found, shares, atol=4 * np.sqrt(0.25 / count))
    assert all(found[n] == 1 for n, share in enumerate(shares) if share == 1)
    again = candidates(commands, steers, np.random.default_rng(3), by)
    assert np.array_equal(again.reshape(9, count).mean(axis=1), found)


def test_shares_of_a_sets_frames(tmp_path: Path) -> None:
    root = made(tmp_path / "set", "clear", [0, 2, 8], [0, 0])  # every steering is above 0.1
    world = find_world("driving")
    assert world.frame_shares(root, "train", "command").tolist() == [0.7, 1, 0.15]
    assert world.frame_shares(root, "val", "command").tolist() == [0.7, 0.7]
    assert world.frame_shares(root, "train", "steering").tolist() == [1, 1, 1]
    with pytest.raises(CollectError, match="'balance' is 'speed'; the world 'driving' balances by command, steering"):
        world.frame_shares(root, "train", "speed")
    with pytest.raises(CollectError, match="the world 'babyai' balances by nothing"):
        find_world("babyai").frame_shares(root, "train", "command")
    with pytest.raises(DatasetError, match=r"'observation\.command' is 0 to 9; commands are 0 to 8"):
        world.frame_shares(made(tmp_path / "other", "clear", [0, 9], [0]), "train", "command")


def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = made(tmp_path / "set", "clear", [0], [1])
    export_csv(root, tmp_path / "csv")
    with pytest.raises(OutputError, match=r"data\.csv is there already"):
        export_csv(root, tmp_path / "csv")
    with pytest.raises(DatasetError, match=r"a command is not 0\.\.8"):
        export_csv(made(tmp_path / "odd", "clear", [0], [9]), tmp_path / "odd_csv")
    assert not list(tmp_path.glob("odd_csv/*.csv")) and not list(tmp_path.glob("odd_csv/.*"))
    assert main(["csv", str(tmp_path / "none"), "--out", str(tmp_path / "x")]) == 1
    assert "does not exist" in capsys.readouterr().err
    for by in BALANCES:
        assert main(["csv", str(root), "--out", str(tmp_path / by), "--by", by]) == 0
    assert main(["csv", str(root), "--out", str(tmp_path / "y"), "--by", "luck"]) == 2
