"""Import a recording: read, look at it, and write the prepared set, whole or not at all.

Not here: how a recording is read (`source.py`) and what its values must be (`pusht.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from vla_datasets.files import check_new_folder, whole_folder
from vla_datasets.import_.pusht import LEVEL, features_of, picture_of_goal, world_episode
from vla_datasets.import_.recording import Recording
from vla_datasets.import_.source import open_recording
from vla_datasets.lerobot.format import DatasetInfo
from vla_datasets.lerobot.writer import Episode, write_dataset
from vla_datasets.splits import check_fraction, hold_out
from vla_datasets.worlds.pusht_pixels.schema import GOAL_IMAGE
from vla_datasets.worlds.registry import find_world

__all__ = ["import_recording"]

_EPISODES_PER_BLOCK = 100  # one data file


def import_recording(
    source: Path,
    out: Path,
    world: str = "",
    validation_fraction: float = 0.1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DatasetInfo:
    """Write the prepared set of a recording of Push-T; what was written.

    Args:
        source: a LeRobotDataset's folder, or a replay buffer of Diffusion Policy, a folder or a .zip.
        out: new folder of the set.
        world: `pusht` or `pusht_pixels`; empty: `pusht` where the recording says where the block is.
        validation_fraction: share of the episodes that is held out, the last ones.
        progress: called with the number of episodes that are done, and of all.

    Raises:
        DatasetError: the recording is damaged, or of another task.
        CollectError: it is not of the world, or a package is missing.
        OutputError: `out` is there already, or cannot be written; nothing is left behind.
    """
    check_fraction(validation_fraction)
    check_new_folder(out)
    recording = open_recording(source)
    world = world or ("pusht" if recording.keypoints else "pusht_pixels")
    features = features_of(recording, world)
    goal = picture_of_goal() if GOAL_IMAGE in features else None
    total = len(recording.lengths)

    def blocks() -> Iterator[list[Episode]]:
        block: list[Episode] = []
        for number, recorded in enumerate(recording.episodes(images=goal is not None)):
            block.append(world_episode(recorded, number, features, goal))
            if len(block) == _EPISODES_PER_BLOCK or number == total - 1:
                yield block
                block = []
            progress(number + 1, total)

    with whole_folder(out) as temporary:
        return write_dataset(
            temporary,
            blocks(),
            features,
            find_world(world).frame().fps,
            robot_type=world,
            splits=hold_out(total, validation_fraction),
            collection={"world": world, "level": LEVEL, **_origin(source, recording)},
        )


def _origin(source: Path, recording: Recording) -> dict[str, str]:
    """Where the set comes from; of the path the name alone, so that equal recordings give equal bytes anywhere."""
    return {"imported": source.resolve().name, "form": recording.form}
