"""Which reader a path is for."""

from __future__ import annotations

from pathlib import Path

from vla_datasets.errors import DatasetError
from vla_datasets.import_.diffusion_policy import open_replay_buffer
from vla_datasets.import_.lerobot_frames import open_lerobot
from vla_datasets.import_.recording import Recording
from vla_datasets.import_.zarr_files import open_files
from vla_datasets.lerobot.format import INFO_PATH

__all__ = ["open_recording"]


def open_recording(path: Path) -> Recording:
    """Open what somebody recorded.

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
        f"{path} is no recording that is read: the folder of a LeRobotDataset has {INFO_PATH}, and a replay buffer of "
        "Diffusion Policy, a folder or a .zip, has meta/episode_ends/.zarray."
    )
