"""Import a recording: read, look at it, and write the prepared set, whole or not at all.

Not here: how a recording is read (`source.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vla_datasets.files import check_new_folder, whole_folder
from vla_datasets.import_.aloha import AlohaOptions
from vla_datasets.import_.source import prepare
from vla_datasets.lerobot.format import DatasetInfo
from vla_datasets.lerobot.writer import Episode, write_dataset
from vla_datasets.splits import check_fraction, hold_out

__all__ = ["import_recording"]

_EPISODES_PER_BLOCK, _MOST_BYTES = 100, 2**28  # of a block, which is one data file and in memory; bytes of its pictures


def import_recording(
    source: Path,
    out: Path,
    world: str = "",
    validation_fraction: float = 0.1,
    progress: Callable[[int, int], None] = lambda done, total: None,
    aloha: AlohaOptions | None = None,
) -> DatasetInfo:
    """Write the prepared set of a recording; what was written.

    Args:
        source: a LeRobotDataset's folder, or a replay buffer of Diffusion Policy, a folder or a .zip, of Push-T; or a
            folder of ALOHA's episodes in HDF5.
        out: new folder of the set.
        world: `pusht` or `pusht_pixels`; empty: `pusht` where the recording says where the block is.
        validation_fraction: share of the episodes that is held out, the last ones.
        progress: called with the number of episodes that are done, and of all.
        aloha: what ALOHA's files do not say.

    Raises:
        DatasetError: the recording is damaged, or of another task.
        CollectError: it is not of the world, an option is not for it, or a package is missing.
        OutputError: `out` is there already, or cannot be written; nothing is left behind.
    """
    check_fraction(validation_fraction)
    check_new_folder(out)
    prepared = prepare(source, world, aloha)

    def counted() -> Iterator[Episode]:
        for number, episode in enumerate(prepared.episodes):
            yield episode
            progress(number + 1, prepared.total)

    # of the path the name alone, so that equal recordings give equal bytes anywhere
    origin = {"imported": source.resolve().name, "form": prepared.form}
    with whole_folder(out) as folder:
        return write_dataset(
            folder,
            _blocks(counted()),
            prepared.features,
            prepared.fps,
            robot_type=prepared.world,
            splits=hold_out(prepared.total, validation_fraction),
            collection={"world": prepared.world, **prepared.origin, **origin},
        )


def _blocks(episodes: Iterable[Episode]) -> Iterator[list[Episode]]:
    block: list[Episode] = []
    size = 0
    for episode in episodes:
        block.append(episode)
        size += sum(len(value) for values in episode.columns.values() for value in values if isinstance(value, bytes))
        if len(block) == _EPISODES_PER_BLOCK or size > _MOST_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block
