"""Which reader a path is for."""

from __future__ import annotations

from pathlib import Path

from vla_datasets.errors import CollectError, DatasetError
from vla_datasets.import_.aloha import AlohaOptions, find_episodes, prepare_aloha
from vla_datasets.import_.diffusion_policy import open_replay_buffer
from vla_datasets.import_.lerobot_frames import open_lerobot
from vla_datasets.import_.prepared import Prepared
from vla_datasets.import_.pusht import prepare_pusht
from vla_datasets.import_.recording import Recording
from vla_datasets.import_.rover_videos import is_rover_videos, prepare_rover_videos
from vla_datasets.import_.zarr_files import open_files
from vla_datasets.lerobot.format import INFO_PATH

__all__ = ["open_recording", "prepare"]


def prepare(source: Path, world: str, aloha: AlohaOptions | None) -> Prepared:
    """Look at what somebody recorded.

    Args:
        world: whose data it becomes; empty: what it can.
        aloha: what ALOHA's files do not say.

    Raises:
        DatasetError: it is nothing that is read, or damaged.
        CollectError: it is not of the world, an option is not for it, or a package is missing.
    """
    if find_episodes(source):
        if world:
            raise CollectError(f"--world is '{world}'; {source} has episodes of ALOHA, which need none.")
        return prepare_aloha(source, aloha or AlohaOptions())
    if is_rover_videos(source):
        size = aloha.size if aloha else None
        if world or aloha not in (None, AlohaOptions(size=size)):
            raise CollectError(f"{source} has videos of a rover; of the options they take --size alone.")
        return prepare_rover_videos(source, size)
    recording = open_recording(source)
    if aloha not in (None, AlohaOptions()):
        raise CollectError(f"{source} is a recording of Push-T; give it no --size and no option of ALOHA's episodes.")
    return prepare_pusht(recording, world)


def open_recording(path: Path) -> Recording:
    """Open what somebody recorded of Push-T.

    Raises:
        DatasetError: it is nothing that is read, or damaged.
        CollectError: a package is missing.
    """
    if not path.exists():
        raise DatasetError(f"{path} does not exist; give the folder or the .zip of a recording.")
    if (path / INFO_PATH).is_file():
        return open_lerobot(path)
    files = open_files(path)
    if files is not None:
        return open_replay_buffer(files)
    raise DatasetError(
        f"{path} is no recording that is read: the folder of a LeRobotDataset has {INFO_PATH}, a replay buffer of "
        "Diffusion Policy, a folder or a .zip, has meta/episode_ends/.zarray, and a folder of ALOHA's episodes has "
        "episode_0.hdf5, or folders with such, and videos of a rover have samples.json."
    )
