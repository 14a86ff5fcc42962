"""What RDT is told of data sets: four JSON files, by the name of each set.

    dataset_stat.json               mean, std, min, max of the 128 places of the state
    dataset_control_freq.json       actions a second
    finetune_datasets.json          the names
    finetune_sample_weights.json    how often each is drawn from

Frames before the first movement and short episodes are left out, as RDT leaves them out of its samples.
Source: thu-ml/RoboticsDiffusionTransformer, `data/compute_dataset_stat_hdf5.py` and `configs/`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError
from vla_datasets.files import write_json
from vla_datasets.keys import STATE
from vla_datasets.lerobot.reader import Dataset, open_dataset
from vla_datasets.unified.episodes import usable_episodes
from vla_datasets.unified.named import check_values
from vla_datasets.unified.robots import find_robot
from vla_datasets.unified.vector import to_unified
from vla_isa.errors import OutputError

__all__ = ["FILES", "Described", "describe", "write_description"]

FILES = ("dataset_stat.json", "dataset_control_freq.json", "finetune_datasets.json", "finetune_sample_weights.json")
_ZERO = 1e-8  # what is nearer to 0 counts as a value that is not there
_MOST_WEIGHT = 1e6

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Described:
    """One data set.

    Attributes:
        name: what it is called, its folder's name.
        fps: actions a second.
        states: RDT's statistics, by name, 128 values each.
        frames: that were counted.
        left_out: episodes that were not, and why.
    """

    name: str
    fps: int
    states: Mapping[str, list[float]]
    frames: int
    left_out: Mapping[int, str] = field(default_factory=dict)


def describe(root: Path, robot: str = "") -> Described:
    """Statistics of all episodes of the set at `root`.

    Args:
        robot: whose values it holds, as that robot counts them; empty: the set names them itself, as places of the
            unified vector (`SLOTS`), and its grippers are from 0 to 1.

    Raises:
        DatasetError: the set is damaged, does not name its values, or has no episode to count.
    """
    dataset = open_dataset(root)
    whose = find_robot(robot) if robot else None
    names = whose.names if whose else _names(dataset)
    if whose:
        try:
            check_values(dataset.info["features"], whose)
        except DatasetError as error:
            raise DatasetError(f"{root}: {error} Leave --robot out.") from error
    counted, left_out = [], {}
    for episode in usable_episodes(dataset, range(len(dataset.episodes))):
        if episode.why_not:
            left_out[episode.number] = episode.why_not
        else:
            counted.append(episode.states[episode.first :])
    if not counted:
        reason = next(iter(left_out.values()))
        raise DatasetError(f"{root}: no episode is counted (episode {min(left_out)}: {reason}).")
    states = np.concatenate(counted)
    vector = whose.state(states)[0] if whose else to_unified(names, states)[0]
    fps = dataset.info.get("fps")
    if type(fps) is not int or fps < 1:
        raise DatasetError(f"{root}: info.json: fps is {fps!r}; it must be a whole number above 0.")
    return Described(root.resolve().name, fps, _statistics(vector), len(states), left_out)


def write_description(found: Sequence[Described], weights: Sequence[float], out: Path) -> None:
    """Write the four files into the folder `out`.

    Args:
        weights: of each set; only their ratios count.

    Raises:
        DatasetError: two sets have one name, or a weight is none.
        OutputError: one of the files is there already, perhaps RDT's own, or the folder cannot be written.
    """
    names = [one.name for one in found]
    if len(set(names)) != len(names):
        raise DatasetError(f"two data sets have one name ({', '.join(names)}); the files are by name: rename a folder.")
    for name, weight in zip(names, weights, strict=True):
        if not 0 < weight <= _MOST_WEIGHT:
            raise DatasetError(f"the weight of '{name}' is {weight}; it must be above 0 and at most {_MOST_WEIGHT:g}.")
    for name in FILES:
        if (out / name).exists():
            raise OutputError(
                f"output '{out / name}' is there already, and may tell of other sets; choose another --out."
            )
    values: Sequence[Any] = (
        {one.name: {"dataset_name": one.name, **one.states} for one in found},
        {one.name: one.fps for one in found},
        names,
        dict(zip(names, weights, strict=True)),
    )
    for name, value in zip(FILES, values, strict=True):
        write_json(out / name, value)


def _statistics(vector: Array) -> dict[str, list[float]]:
    """Over frames (T, 128). The deviation is about the mean of all, of those values that are not 0: of a place that
    only some frames have a value for, that is RDT's."""
    mean = vector.mean(axis=0)
    present = np.maximum((np.abs(vector) > _ZERO).sum(axis=0), 1)
    found = {
        "state_mean": mean,
        "state_std": np.sqrt(((vector - mean) ** 2).sum(axis=0) / present),
        "state_min": vector.min(axis=0),
        "state_max": vector.max(axis=0),
    }
    return {name: values.tolist() for name, values in found.items()}


def _names(dataset: Dataset) -> Sequence[str]:
    declared = dataset.info["features"][STATE].get("names") if STATE in dataset.info["features"] else None
    shape = dataset.feature(STATE).shape
    if not (isinstance(declared, list) and all(isinstance(n, str) for n in declared) and (len(declared),) == shape):
        raise DatasetError(
            f"{dataset.root}: '{STATE}' does not name its {shape[0]} values; say whose it is, by --robot."
        )
    return declared
