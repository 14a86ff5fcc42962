"""All frames of a split, decoded, and time windows around them: `{key: relative steps}`.

Beyond an episode's edges its first or last frame is repeated, and `<key>_is_pad` says where. Where a set has actions
that were done beside those that the expert wanted (`EXECUTED`), past steps of `action` are what was done. Small frames
are in memory (100,000 of 56 x 56 pixels take 0.9 GB), those that are averaged to a policy's size on disk (`images.py`):
training has no workers and decodes nothing.

Not here: what a policy makes of a window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError
from vla_datasets.keys import ACTION, EXECUTED, TASK, is_pad, tile_table
from vla_datasets.lerobot.format import Feature
from vla_datasets.lerobot.images import decoded_images
from vla_datasets.lerobot.reader import Dataset, EpisodeFrames, open_dataset
from vla_datasets.lerobot.tiles import Tiles, TileTable, read_cache, write_cache

__all__ = ["Windows", "load_windows"]

Steps = Mapping[str, Sequence[int]]


class Windows:
    """Frames of whole episodes.

    Args:
        columns: per key an array of (frames, *shape).
        tasks: per frame, its episode's task.
        episodes: lengths of the episodes, in order.
        steps: per key the steps of its window, relative to a frame.
        tables: for keys whose images are numbers of tiles: the tiles.
        past: for keys whose steps below 0 are other values: those, as in `columns`.
    """

    def __init__(
        self,
        columns: Mapping[str, npt.NDArray[Any]],
        tasks: Sequence[str],
        episodes: Sequence[int],
        steps: Steps,
        tables: Mapping[str, npt.NDArray[np.uint8]] = {},
        past: Mapping[str, npt.NDArray[Any]] = {},
    ) -> None:
        self._columns, self._tasks, self._tables, self._past = columns, tasks, tables, past
        self._steps = {key: np.asarray(values, np.int64) for key, values in steps.items()}
        ends = np.cumsum(np.asarray(episodes, np.int64))
        self._first = np.repeat(ends - episodes, episodes)
        self._last = np.repeat(ends - 1, episodes)

    def __len__(self) -> int:
        return len(self._tasks)

    def batch(self, numbers: npt.NDArray[np.int64]) -> dict[str, Any]:
        """The windows around frames: `key` (N, steps, *shape), `<key>_is_pad` bool (N, steps), `task` N sentences.

        Of images that are numbers of tiles `<key>_tiles` (T, tile, tile, 3) are all tiles of the set.
        """
        found: dict[str, Any] = {TASK: [self._tasks[number] for number in numbers]}
        for key, steps in self._steps.items():
            wanted = numbers[:, None] + steps
            inside = np.clip(wanted, self._first[numbers, None], self._last[numbers, None])
            found[key] = self._columns[key][inside]
            if key in self._past:
                found[key][:, steps < 0] = self._past[key][inside[:, steps < 0]]
            found[is_pad(key)] = inside != wanted
        for key, table in self._tables.items():
            found[tile_table(key)] = table
        return found


def load_windows(
    root: Path, split: str, steps: Steps, tile: int = 0, sides: Mapping[str, int] | None = None
) -> Windows:
    """Read and decode the columns that `steps` names, of one split.

    Args:
        tile: where it is above 0, hold images as numbers of their tiles of so many pixels; see `tiles.py`.
        sides: images that are averaged to so many pixels (`shrink`) and kept beside the data set, where that can be
            written; not together with `tile`.

    Raises:
        DatasetError: the set is damaged or has no such columns, or its images are not made of few tiles.
    """
    dataset = open_dataset(root)
    names = [*steps, *([EXECUTED] if ACTION in steps and EXECUTED in dataset.info["features"] else [])]
    features = {key: dataset.feature(key) for key in names}
    cached = read_cache(root, split, tile, _tiled_shapes(dataset, split, features, tile)) if tile else None
    kept = {key: decoded_images(dataset, split, key, side) for key, side in (sides or {}).items() if key in features}
    held = kept if cached is None else cached
    read = {key: feature for key, feature in features.items() if key not in held}
    encoders = {key: TileTable(tile) for key, feature in read.items() if tile and feature.dtype == "image"}
    types = {key: feature.arrow_type() for key, feature in read.items()}
    parts: dict[str, list[npt.NDArray[Any]]] = {key: [] for key in read}
    tasks: list[str] = []
    lengths: list[int] = []
    for episode in dataset.read_episodes(dataset.split(split), types):
        length = int(dataset.episodes[episode.episode_index]["length"])
        lengths.append(length)
        tasks.extend([episode.task] * length)
        for key, feature in read.items():
            array = _array(dataset, key, feature, episode)
            parts[key].append(encoders[key].encode(array) if key in encoders else array)
    if not lengths:
        raise DatasetError(f"{root}: the split '{split}' has no episodes.")
    columns: dict[str, npt.NDArray[Any]] = {key: np.concatenate(arrays) for key, arrays in parts.items()} | kept
    tiles = {key: Tiles(columns[key], encoder.table()) for key, encoder in encoders.items()} | dict(cached or {})
    if encoders:
        write_cache(root, split, tile, tiles)
    tiles = {key: value for key, value in tiles.items() if key in steps}
    columns |= {key: value.numbers for key, value in tiles.items()}
    past = {ACTION: columns.pop(EXECUTED)} if EXECUTED in columns else {}
    return Windows(columns, tasks, lengths, steps, {key: value.table for key, value in tiles.items()}, past)


def _tiled_shapes(
    dataset: Dataset, split: str, features: Mapping[str, Feature], tile: int
) -> dict[str, tuple[int, ...]]:
    """Of the numbers of tiles of each image: (frames, H / tile, W / tile)."""
    frames = sum(int(dataset.episodes[number]["length"]) for number in dataset.split(split))
    images = {key: feature.shape for key, feature in features.items() if feature.dtype == "image"}
    return {key: (frames, shape[0] // tile, shape[1] // tile) for key, shape in images.items()}


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
