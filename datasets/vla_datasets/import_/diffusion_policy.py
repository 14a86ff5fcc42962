"""Episodes of Push-T out of a replay buffer of Diffusion Policy, such as `pusht_cchi_v7_replay.zarr`.

`data/state` is pusher and block (x, y, x, y, angle), the block by its body's origin, which is where gym-pusht has it;
its corners follow from that, and the reward from them. `data/keypoint` are other points of the block and not read.
Source: real-stanford/diffusion_policy, `demo_pusht.py` and `common/replay_buffer.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError
from vla_datasets.import_.recording import Array, Recorded, check_lengths, library
from vla_datasets.import_.zarr_array import ZarrArray, open_array
from vla_datasets.import_.zarr_files import ZarrFiles
from vla_datasets.lerobot.png import encode_png
from vla_datasets.worlds.pusht.block import corners
from vla_datasets.worlds.pusht.schema import GOAL_POSE
from vla_datasets.worlds.pusht_pixels.schema import IMAGE_SHAPE

__all__ = ["ReplayBuffer", "open_replay_buffer"]

_IMAGES = "data/img"
_MOST_EPISODES = 1_000_000


@dataclass(frozen=True)
class ReplayBuffer:
    """An opened replay buffer of Push-T."""

    state: ZarrArray
    action: ZarrArray
    pictures: ZarrArray | None
    ends: tuple[int, ...]
    form: str = "Diffusion Policy's zarr"
    keypoints: bool = True

    @property
    def lengths(self) -> Sequence[int]:
        """Frames of each episode."""
        return [end - start for start, end in zip((0, *self.ends), self.ends, strict=False)]

    @property
    def images(self) -> bool:
        """Whether it has pictures."""
        return self.pictures is not None

    def episodes(self, images: bool) -> Iterator[Recorded]:
        """All episodes; see `Recording`."""
        library("shapely", "a recording without rewards")
        from vla_datasets.worlds.pusht.coverage import coverage, reward

        for number, (start, end) in enumerate(zip((0, *self.ends), self.ends, strict=False)):
            where = f"{self.state.files.where}: episode {number}"
            state, action = (array.rows(start, end).astype(np.float64) for array in (self.state, self.action))
            if not np.isfinite(state).all():
                raise DatasetError(f"{where}: {self.state.name} has a value that is no finite number.")
            block = corners(state[:, 2:])
            covered = coverage(block, corners(GOAL_POSE))
            after = np.append(covered[1:], covered[-1])  # what the last action led to was not recorded
            pictures = self.pictures.rows(start, end) if images and self.pictures else None
            stored = None if pictures is None else [_png(where, picture) for picture in pictures]
            yield Recorded(where, state[:, :2], action, reward(after), block.reshape(-1, 16), stored)


def open_replay_buffer(files: ZarrFiles) -> ReplayBuffer:
    """Check the description of a replay buffer.

    Raises:
        DatasetError: an array is missing, damaged, or not that of Push-T; the ends of episodes are none.
        CollectError: numcodecs is not installed.
    """
    ends = open_array(files, "meta/episode_ends", ())
    if ends.dtype.kind not in "iu" or ends.shape[0] > _MOST_EPISODES:
        raise DatasetError(
            f"{ends.where} is {ends.dtype} {list(ends.shape)}; it must be up to a million whole numbers."
        )
    state, action = open_array(files, "data/state", (5,)), open_array(files, "data/action", (2,))
    pictures = open_array(files, _IMAGES, IMAGE_SHAPE) if files.has(f"{_IMAGES}/.zarray") else None
    found = [int(end) for end in ends.rows(0, ends.shape[0])]
    for number, (start, end) in enumerate(zip((0, *found), found, strict=False)):
        if end <= start:
            raise DatasetError(
                f"{ends.where}: episode {number} ends at {end}, and begins at {start}; ends must increase."
            )
    check_lengths(files.where, [end - start for start, end in zip((0, *found), found, strict=False)])
    for array in (state, action, *([pictures] if pictures else [])):
        if array.shape[0] != found[-1]:
            raise DatasetError(f"{array.where} has {array.shape[0]:,} rows; the last episode ends at {found[-1]:,}.")
    return ReplayBuffer(state, action, pictures, tuple(found))


def _png(where: str, picture: npt.NDArray[Any]) -> bytes:
    """Of a picture of whole numbers up to 255, which Diffusion Policy stores as floats."""
    values: Array = picture.astype(np.float64)
    whole = np.clip(np.nan_to_num(values), 0, 255).astype(np.uint8)
    if not np.array_equal(whole, values):
        raise DatasetError(
            f"{where}: {_IMAGES} has values that are not 0, 1, ... 255; take a recording that is not scaled."
        )
    return encode_png(whole)
