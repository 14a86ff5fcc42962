"""What a reader of recordings gives: episodes of Push-T as arrays, whatever the files were.

Not here: whether the values make sense (`pusht.py`).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import CollectError, DatasetError

__all__ = ["FPS", "Array", "Recorded", "Recording", "check_lengths", "library"]

Array = npt.NDArray[np.float64]

FPS = 10  # of every recording of Push-T: the world's control frequency
_MOST_EPISODES, _MOST_FRAMES = 1_000_000, 100_000  # of a recording, and of an episode


@dataclass(frozen=True)
class Recorded:
    """One episode of n frames: places in px of the plane, pictures as PNG.

    Attributes:
        where: file and episode, for messages.
        state: the pusher's centre (n, 2).
        action: where the pusher should go (n, 2).
        reward: what the action led to (n,).
        keypoints: the block's corners (n, 16); None: they were not recorded.
        images: n pictures; None: there are none, or they were not asked for.
    """

    where: str
    state: Array
    action: Array
    reward: Array
    keypoints: Array | None
    images: list[bytes] | None


class Recording(Protocol):
    """Files of somebody else, whose description has been checked."""

    @property
    def form(self) -> str:
        """Their format and its version."""

    @property
    def lengths(self) -> Sequence[int]:
        """Frames of each episode."""

    @property
    def keypoints(self) -> bool:
        """Whether they say where the block is."""

    @property
    def images(self) -> bool:
        """Whether they hold pictures."""

    def episodes(self, images: bool) -> Iterator[Recorded]:
        """All episodes in order, with pictures if asked for.

        Raises:
            DatasetError: a file is missing or damaged; says which, and where.
            CollectError: a package is missing.
        """


def check_lengths(where: Path, lengths: Sequence[int]) -> None:
    """Refuse more than is read, or episodes of nothing.

    Raises:
        DatasetError: what there is too much or too little of.
    """
    if not 2 <= len(lengths) <= _MOST_EPISODES:
        raise DatasetError(
            f"{where} has {len(lengths)} episodes; a set to learn from has 2 (one is held out) to {_MOST_EPISODES:,}."
        )
    for number, length in enumerate(lengths):
        if not 1 <= length <= _MOST_FRAMES:
            raise DatasetError(f"{where}: episode {number} has {length} frames; it must be 1 to {_MOST_FRAMES:,}.")


def library(name: str, reads: str) -> Any:
    """A package of the extra `import`.

    Raises:
        CollectError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise CollectError(
            f"{reads} needs the package '{error.name}', which is not installed; pip install 'vla-toolchain[import]'"
        ) from error
