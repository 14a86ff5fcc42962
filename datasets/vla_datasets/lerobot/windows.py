"""All frames of a split in memory, and time windows around them: `{key: relative steps}`.

Beyond an episode's edges its first or last frame is repeated, and `<key>_is_pad` says where. Small frames only:
100,000 of 56 x 56 pixels take 0.9 GB, without workers and without decoding while training.

Not here: what a policy makes of a window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError
from vla_datasets.keys import TASK, is_pad
from vla_datasets.lerobot.format import Feature
from vla_datasets.lerobot.reader import Dataset, EpisodeFrames, open_dataset

__all__ = ["Windows", "load_windows"]

Steps = Mapping[str, Sequence[int]]


class Windows:
    """Frames of whole episodes.

    Args:
        columns: per key an array of (frames, *shape).
        tasks: per frame, its episode's task.
        episodes: lengths of the episodes, in order.
        steps: per key the steps of its window, relative to a frame.
    """

    def __init__(
        self, columns: Mapping[str, npt.NDArray[Any]], tasks: Sequence[str], episodes: Sequence[int], steps: Steps
    ) -> None:
        self._columns, self._tasks = columns, tasks
        self._steps = {key: np.asarray(values, np.int64) for key, values in steps.items()}
        ends = np.cumsum(np.asarray(episodes, np.int64))
        self._first = np.repeat(ends - episodes, episodes)
        self._last = np.repeat(ends - 1, episodes)

    def __len__(self) -> int:
        return len(self._tasks)

    def batch(self, numbers: npt.NDArray[np.int64]) -> dict[str, Any]:
        """The windows around frames: `key` (N, steps, *shape), `<key>_is_pad` bool (N, steps), `task` N sentences."""
        found: dict[str, Any] = {TASK: [self._tasks[number] for number in numbers]}
        for key, steps in self._steps.items():
            wanted = numbers[:, None] + steps
            inside = np.clip(wanted, self._first[numbers, None], self._last[numbers, None])
            found[key] = self._columns[key][inside]
            found[is_pad(key)] = inside != wanted
        return found


def load_windows(root: Path, split: str, steps: Steps) -> Windows:
    """Read and decode the columns that `steps` names, of one split.

    Raises:
        DatasetError: the set is damaged or has no such columns.
    """
    dataset = open_dataset(root)
    features = {key: dataset.feature(key) for key in steps}
    types = {key: feature.arrow_type() for key, feature in features.items()}
    parts: dict[str, list[npt.NDArray[Any]]] = {key: [] for key in steps}
    tasks: list[str] = []
    lengths: list[int] = []
    for episode in dataset.read_episodes(dataset.split(split), types):
        length = int(dataset.episodes[episode.episode_index]["length"])
        lengths.append(length)
        tasks.extend([episode.task] * length)
        for key, feature in features.items():
            parts[key].append(_array(dataset, key, feature, episode))
    if not lengths:
        raise DatasetError(f"{root}: the split '{split}' has no episodes.")
    return Windows({key: np.concatenate(arrays) for key, arrays in parts.items()}, tasks, lengths, steps)


def _array(dataset: Dataset, key: str, feature: Feature, episode: EpisodeFrames) -> npt.NDArray[Any]:
    """One episode's values as an array of (frames, *shape).

    Raises:
        DatasetError: values of another shape, or that are no numbers.
    """
    stored: list[Any] = episode.columns[key]
    if feature.dtype == "image":
        return np.stack([dataset.decode(value, feature.shape) for value in stored])
    where = f"{dataset.root}: episode {episode.episode_index}: '{key}'"
    try:
        array = np.asarray(stored, feature.dtype)
    except (ValueError, TypeError) as error:
        raise DatasetError(f"{where} has values that are not of shape {feature.shape}.") from error
    if array.ndim == 1 and feature.shape == (1,):
        array = array[:, None]
    if array.shape[1:] != feature.shape:
        raise DatasetError(f"{where} has values of shape {array.shape[1:]}, not {feature.shape}.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        frame = int(np.argwhere(~np.isfinite(array))[0][0])
        raise DatasetError(f"{where} is {array[frame].tolist()} in frame {frame}; every value must be a finite number.")
    return array
