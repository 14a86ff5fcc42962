"""Import a recording: read, look at it, and write the prepared set, whole or not at all.

Not here: how a recording is read (`source.py`) and what its values must be (`pusht.py`).
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from vla_datasets.import_.pusht import LEVEL, features_of, picture_of_goal, world_episode
from vla_datasets.import_.recording import Recording
from vla_datasets.import_.source import open_recording
from vla_datasets.lerobot.format import DatasetInfo
from vla_datasets.lerobot.writer import Episode, write_dataset
from vla_datasets.splits import check_fraction, hold_out
from vla_datasets.worlds.pusht_pixels.schema import GOAL_IMAGE
from vla_datasets.worlds.registry import find_world
from vla_isa.errors import OutputError
from vla_isa.files import make_folder

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
    _check_new(out)
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

    make_folder(out.parent)
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(8)}.tmp")
    try:
        written = write_dataset(
            temporary,
            blocks(),
            features,
            find_world(world).frame().fps,
            robot_type=world,
            splits=hold_out(total, validation_fraction),
            collection={"world": world, "level": LEVEL, **_origin(source, recording)},
        )
        os.rename(temporary, out)
    except OSError as error:
        raise OutputError(f"output folder '{out}' cannot be written: {error.strerror}; choose another place") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return written


def _check_new(out: Path) -> None:
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise OutputError(f"output folder '{out}' is there already; choose another --out, or remove it.")


def _origin(source: Path, recording: Recording) -> dict[str, str]:
    """Where the set comes from; of the path the name alone, so that equal recordings give equal bytes anywhere."""
    return {"imported": source.resolve().name, "form": recording.form}
