"""A data set and labelled episodes become one: the new ones are to learn from, what was held out stays held out.

Not here: how they were played (`rollouts.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vla_datasets.blocks import read_block
from vla_datasets.errors import DatasetError
from vla_datasets.keys import ACTION, EXECUTED
from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.lerobot.reader import Dataset, dataset_digest, open_dataset
from vla_datasets.lerobot.writer import Episode, write_dataset
from vla_datasets.worlds.registry import WorldSpec, find_world
from vla_training.dagger.rollouts import Rollouts, labelled_features

__all__ = ["Aggregated", "aggregate", "check_base"]

_FILE = 100  # episodes of a data file


@dataclass(frozen=True)
class Aggregated:
    """What a round adds, and how often the learner did what the expert would not have done."""

    episodes: int
    frames: int
    other_actions: int  # frames
    frames_to_learn: int  # of the whole set, without those held out


def aggregate(base: Path, blocks: Sequence[Path], rollouts: Rollouts, out: Path) -> Aggregated:
    """Write the data set `out`: the episodes of `base` to learn from, those of `blocks`, those that are held out.

    In demonstrations what was done is what the expert wanted.

    Raises:
        DatasetError: `base` is no data set of the world's, with the splits `train` and `val`.
        CollectError: a block is damaged.
    """
    dataset, spec = open_dataset(base), find_world(rollouts.world)
    features = labelled_features(spec, rollouts.level)
    added = [episode for path in blocks for episode in read_block(path, features)]
    train, held_out = dataset.split("train"), dataset.split("val")
    episodes = itertools.chain(_episodes(dataset, train, features), added, _episodes(dataset, held_out, features))
    last = len(train) + len(added)
    frames = sum(episode.length for episode in added)
    other = sum(a != b for e in added for a, b in zip(e.columns[ACTION], e.columns[EXECUTED], strict=True))
    played = {name: value for name, value in asdict(rollouts).items() if name != "policy"}
    write_dataset(
        out,
        blocks=iter(lambda: list(itertools.islice(episodes, _FILE)), []),
        features=features,
        fps=spec.frame(rollouts.level).fps,
        robot_type=rollouts.world,
        splits={"train": (0, last), "val": (last, last + len(held_out))},
        collection={"world": rollouts.world, "level": rollouts.level, "base": dataset_digest(base), "dagger": played},
    )
    learned = frames + sum(int(dataset.episodes[number]["length"]) for number in train)
    return Aggregated(len(added), frames, other, learned)


def check_base(base: Path, spec: WorldSpec, level: str) -> None:
    """Refuse a data set that rounds cannot add to.

    Raises:
        DatasetError: it is none, lacks the split `train` or `val` or the episodes' seeds, or is not the world's.
    """
    dataset = open_dataset(base)
    for name in ("train", "val"):
        dataset.split(name)
    _wanted(dataset, labelled_features(spec, level))
    dataset.seeds()


def _wanted(dataset: Dataset, features: Mapping[str, Feature]) -> dict[str, Feature]:
    """The world's columns that are read: what was done only where it is stored."""
    has_executed = EXECUTED in dataset.info["features"]
    wanted = {n: f for n, f in features.items() if n not in BOOKKEEPING and (n != EXECUTED or has_executed)}
    for name, feature in wanted.items():
        found = dataset.feature(name)
        if (found.dtype, found.shape) != (feature.dtype, feature.shape):
            raise DatasetError(
                f"{dataset.root}: '{name}' is {found.dtype} {list(found.shape)}; the world's is {feature.dtype} "
                f"{list(feature.shape)}. Give a data set of the world's."
            )
    return wanted


def _episodes(dataset: Dataset, numbers: range, features: Mapping[str, Feature]) -> Iterator[Episode]:
    """Stored episodes as they are written again, with what was done."""
    wanted = _wanted(dataset, features)
    seeds = dataset.seeds()
    types = {name: feature.arrow_type() for name, feature in wanted.items()}
    for stored in dataset.read_episodes(numbers, types):
        columns: dict[str, list[Any]] = {
            name: [_png(dataset, value) for value in values] if wanted[name].dtype == "image" else values
            for name, values in stored.columns.items()
        }
        columns.setdefault(EXECUTED, columns[ACTION])
        yield Episode(seeds[stored.episode_index], stored.task, columns)


def _png(dataset: Dataset, value: Any) -> bytes:
    png = value.get("bytes") if isinstance(value, dict) else None
    if not isinstance(png, bytes):
        raise DatasetError(f"{dataset.root}: an image has no PNG bytes in its parquet file.")
    return png
