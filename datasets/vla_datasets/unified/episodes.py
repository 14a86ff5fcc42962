"""Which frames of episodes RDT learns from: all from the step before the first movement on, of episodes that are long.

Source: thu-ml/RoboticsDiffusionTransformer, `data/hdf5_vla_dataset.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError
from vla_datasets.keys import STATE
from vla_datasets.lerobot.reader import Dataset

__all__ = ["SHORTEST", "Usable", "first_step", "usable_episodes"]

SHORTEST = 128  # frames: two chunks of 64 actions
_STILL = 1e-2  # rad, or share of a gripper


@dataclass(frozen=True)
class Usable:
    """One episode.

    Attributes:
        number: of the episode.
        states: (T, N) of all its frames.
        first: the first frame to learn from.
        why_not: why it is left out; empty where it is not.
    """

    number: int
    states: npt.NDArray[np.float64]
    first: int
    why_not: str


def first_step(states: npt.NDArray[Any]) -> int | None:
    """The frame before the first one of states (T, N) that is not where the robot began; None: it stays there."""
    moved = np.flatnonzero((np.abs(states - states[:1]) > _STILL).any(axis=1))
    return int(moved[0]) - 1 if len(moved) else None


def usable_episodes(dataset: Dataset, episodes: range) -> Iterator[Usable]:
    """Look at the states of episodes.

    Raises:
        DatasetError: the set is damaged, or has no vector as `observation.state`.
    """
    feature = dataset.feature(STATE)
    if feature.dtype not in ("float32", "float64") or len(feature.shape) != 1:
        raise DatasetError(f"{dataset.root}: '{STATE}' is {feature.dtype} {list(feature.shape)}, no vector of numbers.")
    for episode in dataset.read_episodes(episodes, {STATE: feature.arrow_type()}):
        states = np.asarray(episode.columns[STATE], np.float64).reshape(-1, *feature.shape)
        if not np.isfinite(states).all():
            raise DatasetError(f"{dataset.root}: episode {episode.episode_index}: '{STATE}' has no finite number.")
        first, why_not = first_step(states), ""
        if len(states) < SHORTEST:
            why_not = f"{len(states)} frames, fewer than {SHORTEST}"
        elif first is None:
            why_not = "it does not move"
        yield Usable(episode.episode_index, states, first or 0, why_not)
