"""Which frames of a set of two arms RDT learns from; the set may be an imported one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError
from vla_datasets.lerobot.reader import open_dataset
from vla_datasets.unified.episodes import usable_episodes

__all__ = ["frame_shares"]


def frame_shares(root: Path, split: str, by: str) -> npt.NDArray[np.float64]:
    """Of each frame (N,) of a split 1, or 0 where nothing has moved yet or the episode is short (see `episodes.py`).

    Raises:
        DatasetError: `root` is damaged, has no vector as state, or no frame to learn from.
    """
    dataset = open_dataset(root)
    found = []
    for episode in usable_episodes(dataset, dataset.split(split)):
        learned = np.arange(len(episode.states)) >= episode.first
        found.append(np.zeros(len(learned)) if episode.why_not else learned.astype(np.float64))
    shares = np.concatenate(found)
    if not shares.any():
        raise DatasetError(f"{root}: no episode of '{split}' moves and is long enough to learn from.")
    return shares
