"""How often a frame is learnt from: as its weight says; in imported sets one frame of a run alone has any."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from vla_datasets.errors import DatasetError
from vla_datasets.lerobot.windows import load_windows
from vla_datasets.worlds.rover.names import WEIGHT

__all__ = ["frame_shares"]


def frame_shares(root: Path, split: str, by: str) -> npt.NDArray[np.float64]:
    """The weight of each frame (N,) of a split.

    Raises:
        DatasetError: `root` is damaged, has no weights, or none above 0.
    """
    windows = load_windows(root, split, {WEIGHT: (0,)})
    shares: npt.NDArray[np.float64] = windows.batch(np.arange(len(windows)))[WEIGHT][:, 0, 0].astype(np.float64)
    if not shares.any() or shares.min() < 0 or shares.max() > 1:
        raise DatasetError(f"{root}: the weights of '{split}' must be from 0 to 1, and some above 0.")
    return shares
