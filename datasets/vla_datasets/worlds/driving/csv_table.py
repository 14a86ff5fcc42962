"""Drives as the earlier CARLA system kept them: one PNG a frame, and a CSV with its columns.

Column by column as there, but for what was wrong: `trajectory_id` is the episode's number, counted by nothing else, and
frames that are no candidate are rows too.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vla_datasets.errors import DatasetError
from vla_datasets.keys import ACTION, STATE
from vla_datasets.lerobot.reader import Dataset, EpisodeFrames, open_dataset
from vla_datasets.worlds.driving.balance import BALANCES, candidates
from vla_datasets.worlds.driving.schema import COMMAND, COMMANDS, IMAGE, LOCATION, SCHEMA, concept
from vla_isa.errors import OutputError
from vla_isa.files import make_folder, whole_file

__all__ = ["COLUMNS", "export_csv"]

COLUMNS = (
    "image_path",
    "instruction",
    "steer",
    "throttle",
    "brake",
    "speed",
    "location_x",
    "location_y",
    "is_train_candidate",
    "trajectory_id",
    "scenario",
    "is_rainy",
    "is_crowded",
)
_SCENARIOS = {"clear": "base", "rain": "weather", "clear+traffic": "dynamic"}  # its three sets; others are levels
_RAIN = concept("env_rain")
_READ = (IMAGE, STATE, LOCATION, COMMAND, _RAIN, ACTION)


def export_csv(root: Path, out: Path, by: str = BALANCES[0], seed: int = 0) -> int:
    """Write `out/data.csv` and `out/images/`; the number of rows. The CSV is there when all pictures are.

    Args:
        root: data set of a driving world.
        out: new folder.
        by: how candidates are chosen, see `balance.candidates`.
        seed: of their choice.

    Raises:
        DatasetError: it is no data set of a driving world, or damaged.
        OutputError: the folder holds a table already, or cannot be written.
    """
    dataset = open_dataset(root)
    for name in _READ:
        if dataset.feature(name).shape != SCHEMA.features[name].shape:
            raise DatasetError(f"{root}: '{name}' is not that of a driving world: {dataset.feature(name)}.")
    table, images = out / "data.csv", out / "images"
    if table.exists():
        raise OutputError(f"{table} is there already; choose another --out.")
    make_folder(images)
    collection = dataset.info.get("collection")
    level = str(collection.get("level", "")) if isinstance(collection, dict) else ""
    rng, rows = np.random.default_rng(seed), 0
    with whole_file(table) as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        types = {name: SCHEMA.features[name].arrow_type() for name in _READ}
        for episode in dataset.read_episodes(range(len(dataset.episodes)), types):
            for picture, row in _rows(dataset, episode, level, by, rng):
                name = f"images/{rows:06d}_c.png"
                (out / name).write_bytes(picture)
                writer.writerow((name, *row))
                rows += 1
    return rows


def _rows(
    dataset: Dataset, episode: EpisodeFrames, level: str, by: str, rng: np.random.Generator
) -> Iterator[tuple[bytes, tuple[Any, ...]]]:
    """The picture of each frame, and its row without the picture's name."""
    values = episode.columns
    commands, actions = np.array(values[COMMAND], np.int64), np.array(values[ACTION], np.float32)
    if commands.min() < 0 or commands.max() >= len(COMMANDS):
        raise DatasetError(f"{dataset.root}: episode {episode.episode_index}: a command is not 0..{len(COMMANDS) - 1}.")
    chosen = candidates(commands, actions[:, 0], rng, by)
    weather, *more = level.partition("@")[0].split("+")
    scenario = _SCENARIOS.get("+".join([weather, *(part for part in more if part != "pushed")]), level)
    for n, command in enumerate(commands):
        dataset.decode(values[IMAGE][n], SCHEMA.features[IMAGE].shape)
        steer, throttle, brake = (float(v) for v in actions[n])
        x, y = values[LOCATION][n]
        row = (COMMANDS[command], steer, throttle, brake, values[STATE][n], x, y, bool(chosen[n]))
        rainy, crowded = bool(values[_RAIN][n]), "traffic" in more
        yield values[IMAGE][n]["bytes"], (*row, episode.episode_index, scenario, rainy, crowded)
