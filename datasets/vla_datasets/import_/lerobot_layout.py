"""Where LeRobotDataset v2.0, v2.1 and v3.0 have each episode: its file, its video, and where that begins.

v2 has a file an episode and describes them in lines of JSON; v3 has many in one file and describes them in parquet.
Paths are made from the layouts' own templates; what a set says itself is not followed, only compared.
Source: huggingface/lerobot, `datasets/utils.py` and `scripts/convert_dataset_v21_to_v30.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_datasets.errors import DatasetError
from vla_datasets.import_.parquet import column_numbers, column_whole, read_columns
from vla_datasets.import_.recording import FPS, check_lengths
from vla_datasets.lerobot.format import DATA_PATH, INFO_PATH
from vla_isa.documents import read_json

__all__ = ["Place", "find_places", "read_info"]

_DATA_V2 = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
_VIDEO_V2 = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
_VIDEO_V3 = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
_TEMPLATES = {"v2.0": (_DATA_V2, _VIDEO_V2), "v2.1": (_DATA_V2, _VIDEO_V2), "v3.0": (DATA_PATH, _VIDEO_V3)}
_EPISODES_V2 = "meta/episodes.jsonl"
_MOST_INFO, _MOST_LINES = 10_000_000, 200_000_000  # bytes
_MOST_FILES = 10**6


@dataclass(frozen=True)
class Place:
    """Where an episode is: rows of `data`, and from `begins` seconds on in `video`."""

    length: int
    data: Path
    video: Path | None = None
    begins: float = 0.0


def read_info(root: Path) -> Mapping[str, Any]:
    """The description of a set, of a version that is read.

    Raises:
        DatasetError: missing, damaged, of another version, frequency or layout.
    """
    path = root / INFO_PATH
    try:
        if path.stat().st_size > _MOST_INFO:
            raise DatasetError(f"{path} has {path.stat().st_size:,} bytes; at most {_MOST_INFO:,} are read.")
        info = read_json(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {error}.") from error
    version = info.get("codebase_version") if isinstance(info, dict) else None
    if not isinstance(version, str) or version not in _TEMPLATES:
        raise DatasetError(f"{path}: codebase_version is {version!r}; {', '.join(_TEMPLATES)} are read.")
    for key, template in zip(("data_path", "video_path"), _TEMPLATES[version], strict=True):
        if info.get(key) not in (template, None) or (key == "data_path" and info.get(key) is None):
            raise DatasetError(f"{path}: {key} is {info.get(key)!r}; only {template!r} is read.")
    if info.get("fps") != FPS:
        raise DatasetError(
            f"{path}: fps is {info.get('fps')!r}; Push-T has {FPS} frames a second, or it is another task."
        )
    if not isinstance(info.get("features"), dict):
        raise DatasetError(f"{path}: 'features' is missing.")
    return info  # type: ignore[no-any-return]  # a dict, as was just looked at


def find_places(root: Path, info: Mapping[str, Any], video: str | None) -> tuple[Place, ...]:
    """Where each episode is, in order.

    Args:
        video: the feature whose videos are to be found.

    Raises:
        DatasetError: an episode is missing, or described in a way that cannot be.
    """
    find = _places_v3 if info["codebase_version"] == "v3.0" else _places_v2
    places = tuple(find(root, info, video))
    announced = info.get("total_episodes"), info.get("total_frames")
    found = len(places), sum(place.length for place in places)
    if announced != found:
        raise DatasetError(f"{root}: info.json says {announced} episodes and frames, its episodes are {found}.")
    check_lengths(root, [place.length for place in places])
    return places


def _places_v2(root: Path, info: Mapping[str, Any], video: str | None) -> Iterator[Place]:
    size = info.get("chunks_size")
    if type(size) is not int or not 0 < size <= _MOST_FILES:
        raise DatasetError(f"{root}: info.json: chunks_size is {size!r}; it must be 1 to {_MOST_FILES:,}.")
    rows = _lines(root / _EPISODES_V2)
    for number, row in enumerate(sorted(rows, key=lambda row: int(row["episode_index"]))):
        if row["episode_index"] != number:
            raise DatasetError(f"{root / _EPISODES_V2}: episode {number} is missing, or there twice.")
        place = {"episode_chunk": number // size, "episode_index": number}
        film = root / _VIDEO_V2.format(**place, video_key=video) if video else None
        yield Place(row["length"], root / _DATA_V2.format(**place), film)


def _lines(path: Path) -> list[dict[str, Any]]:
    """Each line's object, which has whole numbers `episode_index` and `length`."""
    try:
        if path.stat().st_size > _MOST_LINES:
            raise DatasetError(f"{path} has {path.stat().st_size:,} bytes; at most {_MOST_LINES:,} are read.")
        found = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path} cannot be read: {error}.") from error
    for number, row in enumerate(found):
        if not isinstance(row, dict) or any(type(row.get(key)) is not int for key in ("episode_index", "length")):
            raise DatasetError(f"{path}: object {number} is {row!r:.80}; it needs whole 'episode_index' and 'length'.")
    return found


def _places_v3(root: Path, info: Mapping[str, Any], video: str | None) -> Iterator[Place]:
    total, number = info.get("total_episodes"), 0
    if type(total) is not int:
        raise DatasetError(f"{root}: info.json: total_episodes is {total!r}; it must be a whole number.")
    whole = ["episode_index", "length", "data/chunk_index", "data/file_index"]
    times: list[str] = []
    if video:
        whole += [f"videos/{video}/chunk_index", f"videos/{video}/file_index"]
        times += [f"videos/{video}/from_timestamp"]
    for path in sorted((root / "meta" / "episodes").glob("chunk-*/file-*.parquet")):
        table = read_columns(path, [*whole, *times], total)
        columns = [column_whole(path, table, name).tolist() for name in whole]
        begins = column_numbers(path, table, times[0]).tolist() if video else [0.0] * table.num_rows
        for row, begin in zip(zip(*columns, strict=True), begins, strict=True):
            if row[0] != number or not all(0 <= file < _MOST_FILES for file in row[2:]) or not 0 <= begin < 1e9:
                raise DatasetError(f"{path}: {(*row, begin)} is no row of episode {number}, in {(*whole, *times)}.")
            data, film = (dict(zip(("chunk_index", "file_index"), row[at : at + 2], strict=False)) for at in (2, 4))
            films = root / _VIDEO_V3.format(**film, video_key=video) if video else None
            yield Place(row[1], root / DATA_PATH.format(**data), films, begin)
            number += 1
