"""Episodes of Push-T out of a LeRobotDataset: `lerobot/pusht`, `lerobot/pusht_image`, `lerobot/pusht_keypoints`.

Not here: where an episode is (`lerobot_layout.py`), and whether its values make sense (`pusht.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vla_datasets.errors import DatasetError
from vla_datasets.import_.lerobot_layout import Place, find_places, read_info
from vla_datasets.import_.parquet import column_numbers, column_whole, read_columns
from vla_datasets.import_.recording import Recorded
from vla_datasets.import_.video import read_pictures
from vla_datasets.keys import ACTION, REWARD, STATE
from vla_datasets.lerobot.png import decode_png, encode_png
from vla_datasets.worlds.pusht.schema import KEYPOINTS
from vla_datasets.worlds.pusht_pixels.schema import IMAGE, IMAGE_SHAPE

__all__ = ["LeRobotRecording", "open_lerobot"]

_IMAGES = ("observation.image", IMAGE)  # LeRobot's name and ours
_WIDTHS = {STATE: 2, ACTION: 2, REWARD: 0, KEYPOINTS: 16}  # 0: a number
_NUMBERS = ("float32", "float64")


@dataclass(frozen=True)
class LeRobotRecording:
    """An opened set: its description is checked, its frames are read on demand."""

    form: str
    places: tuple[Place, ...]
    image: str | None
    keypoints: bool

    @property
    def lengths(self) -> Sequence[int]:
        """Frames of each episode."""
        return [place.length for place in self.places]

    @property
    def images(self) -> bool:
        """Whether it has pictures."""
        return self.image is not None

    def episodes(self, images: bool) -> Iterator[Recorded]:
        """All episodes; see `Recording`."""
        path, table, most = None, None, sum(self.lengths)
        widths = {name: width for name, width in _WIDTHS.items() if name != KEYPOINTS or self.keypoints}
        for number, place in enumerate(self.places):
            stored = self.image if images and not place.video else None
            if table is None or place.data != path:
                names = ["episode_index", "frame_index", *widths, *([stored] if stored else [])]
                path, table = place.data, read_columns(place.data, names, most)
            rows = _rows(table, place, number)
            numbers = {name: column_numbers(place.data, rows, name, width) for name, width in widths.items()}
            where = f"{place.data}: episode {number}"
            pictures = None
            if stored:
                pictures = [_checked(value, where) for value in rows[stored].to_pylist()]
            elif images and place.video:
                film = read_pictures(place.video, place.begins, place.length, IMAGE_SHAPE)
                pictures = [encode_png(picture) for picture in film]
            yield Recorded(where, numbers[STATE], numbers[ACTION], numbers[REWARD], numbers.get(KEYPOINTS), pictures)


def open_lerobot(root: Path) -> LeRobotRecording:
    """Check the description of the set at `root`.

    Raises:
        DatasetError: it is damaged, of another version, or no recording of Push-T.
    """
    info = read_info(root)
    features = info["features"]
    for name, width in _WIDTHS.items():
        if name in features or name != KEYPOINTS:
            _check(root, features, name, _NUMBERS, ([width or 1],))
    image = next((name for name in _IMAGES if name in features), None)
    video = None
    if image:
        shapes = (list(IMAGE_SHAPE), [IMAGE_SHAPE[2], *IMAGE_SHAPE[:2]])  # LeRobot has written both orders
        video = image if _check(root, features, image, ("image", "video"), shapes) == "video" else None
    places = find_places(root, info, video)
    return LeRobotRecording(f"LeRobotDataset {info['codebase_version']}", places, image, KEYPOINTS in features)


def _check(root: Path, features: Mapping[str, Any], name: str, dtypes: Sequence[str], shapes: Sequence[Any]) -> str:
    """The dtype of a feature that is as it should be."""
    declared = features.get(name)
    if not isinstance(declared, dict):
        raise DatasetError(
            f"{root}: no feature '{name}', which recordings of Push-T have; it has {', '.join(features)}."
        )
    dtype = declared.get("dtype")
    if dtype not in dtypes or declared.get("shape") not in shapes:
        found = f"{dtype!r} of shape {declared.get('shape')!r}"
        raise DatasetError(f"{root}: info.json: '{name}' is {found}; that of Push-T is {dtypes[0]} of {shapes[0]}.")
    return str(dtype)


def _rows(table: pa.Table, place: Place, number: int) -> pa.Table:
    """The rows of an episode, which are there in a row and in order."""
    found = np.flatnonzero(column_whole(place.data, table, "episode_index") == number)
    if len(found) != place.length or found[-1] - found[0] + 1 != place.length:
        raise DatasetError(f"{place.data}: episode {number}: {len(found)} frames, expected {place.length} in a row.")
    rows = table.slice(int(found[0]), place.length)
    if (column_whole(place.data, rows, "frame_index") != np.arange(place.length)).any():
        raise DatasetError(f"{place.data}: episode {number}: frame_index is not 0..{place.length - 1}.")
    return rows


def _checked(stored: Any, where: str) -> bytes:
    decode_png(stored, IMAGE_SHAPE, where)
    png: bytes = stored["bytes"]
    return png
