"""A set of two arms as ALOHA's HDF5: one file an episode, which ACT's and RDT's loaders read.

Pictures are RGB, raw or as JPEG in rows of bytes with zeros behind; a standard decoder gives RGB again (RDT's own
loader takes what OpenCV gives, BGR, for RGB). Velocities are not written: a prepared set has none.
The layout: `vla_datasets.import_.aloha_episode`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from vla_datasets.errors import DatasetError
from vla_datasets.files import whole_folder
from vla_datasets.import_.aloha_episode import ACTION as THEIR_ACTION
from vla_datasets.import_.aloha_episode import CAMERA, IMAGES, QPOS, their_camera
from vla_datasets.import_.aloha_instructions import INSTRUCTIONS
from vla_datasets.import_.recording import library
from vla_datasets.keys import ACTION, STATE, image
from vla_datasets.lerobot.reader import Dataset, EpisodeFrames, open_dataset
from vla_datasets.unified.named import check_order
from vla_datasets.unified.robots import Robot, find_robot

__all__ = ["export_aloha"]

_QUALITY = 95
_PREFIX = image("")


def export_aloha(
    root: Path,
    out: Path,
    robot: str = "aloha",
    jpeg: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write `out/episode_N.hdf5` of the set at `root`, and its sentence beside them; how many.

    Of a set with several tasks each has a folder, `out/task_N/`.

    Args:
        out: new folder.
        robot: whose the files are: how its grippers count.
        jpeg: or else raw pictures.
        progress: called with the number of episodes that are done, and of all.

    Raises:
        DatasetError: the set is damaged, or not of two arms of six joints and a gripper in this order, or its
            cameras have no names of their own there.
        CollectError: h5py is not installed.
        OutputError: `out` is there already, or cannot be written; nothing is left behind.
    """
    dataset, whose = open_dataset(root), find_robot(robot)
    for name in (STATE, ACTION):
        feature = dataset.feature(name)
        if feature.shape != (len(whose.names),) or not feature.dtype.startswith("float"):
            found = f"{feature.dtype} {list(feature.shape)}"
            raise DatasetError(f"{root}: '{name}' is {found}; ALOHA's files hold the {len(whose.names)} of two arms.")
    try:
        check_order(dataset.info["features"], whose)
    except DatasetError as error:
        raise DatasetError(f"{root}: {error}") from error
    cameras = _cameras(dataset)
    types = {name: dataset.feature(name).arrow_type() for name in (STATE, ACTION, *cameras.values())}
    tasks: dict[str, int] = {}
    total = len(dataset.episodes)
    with whole_folder(out) as folder:
        for done, episode in enumerate(dataset.read_episodes(range(total), types), 1):
            number = tasks.setdefault(episode.task, len(tasks))
            into = folder / f"task_{number}" if len(dataset.tasks) > 1 else folder
            into.mkdir(parents=True, exist_ok=True)
            _write_episode(dataset, episode, cameras, whose, jpeg, into / f"episode_{episode.episode_index}.hdf5")
            kinds = ("instruction", "simplified_instruction", "expanded_instruction")
            sentences = {kind: episode.task if kind == kinds[0] else [episode.task] for kind in kinds}
            (into / INSTRUCTIONS).write_text(json.dumps(sentences, indent=2) + "\n", encoding="utf-8")
            progress(done, total)
    return total


def _cameras(dataset: Dataset) -> dict[str, str]:
    """Our column by their name, in the order in which HDF5 lists them: that of the rows of `compress_len`.

    Raises:
        DatasetError: a name would be read as another one, or not at all.
    """
    found: dict[str, str] = {}
    for column in (name for name in dataset.info["features"] if name.startswith(_PREFIX)):
        theirs = their_camera(column.removeprefix(_PREFIX))
        if not CAMERA.fullmatch(theirs):
            raise DatasetError(f"{dataset.root}: '{column}': names of cameras have letters a-z, digits and '_'.")
        if theirs in found:
            raise DatasetError(
                f"{dataset.root}: '{found[theirs]}' and '{column}' are both '{theirs}' in ALOHA's files."
            )
        found[theirs] = column
    return dict(sorted(found.items()))


def _write_episode(
    dataset: Dataset, episode: EpisodeFrames, cameras: Mapping[str, str], robot: Robot, jpeg: bool, path: Path
) -> None:
    h5py = library("h5py", "ALOHA's HDF5")
    collection = dataset.info.get("collection")
    whole = io.BytesIO()  # where the disk is full, HDF5 itself ends with errors of many kinds
    with h5py.File(whole, "w") as file:
        file.attrs["sim"] = isinstance(collection, dict) and "level" in collection  # it was collected in a world
        file.attrs["compress"] = jpeg
        file[QPOS] = (np.array(episode.columns[STATE]) * robot.state_divisors).astype(np.float32)
        file[THEIR_ACTION] = (np.array(episode.columns[ACTION]) * robot.action_divisors).astype(np.float32)
        lengths = []
        for theirs, name in cameras.items():
            shape = dataset.feature(name).shape
            pictures = (dataset.decode(value, shape) for value in episode.columns[name])
            place = f"{IMAGES}/{theirs}"
            if not jpeg:
                file.create_dataset(place, data=np.stack(list(pictures)), chunks=(1, *shape))
                continue
            packed = [np.frombuffer(_jpeg(picture), np.uint8) for picture in pictures]
            lengths.append([len(row) for row in packed])
            rows = np.zeros((len(packed), max(lengths[-1])), np.uint8)
            for row, values in zip(rows, packed, strict=True):
                row[: len(values)] = values
            file.create_dataset(place, data=rows, chunks=(1, rows.shape[1]))
        if lengths:
            file["compress_len"] = np.array(lengths, np.float64)  # as ALOHA's recorder has it: cameras by frames
    path.write_bytes(whole.getbuffer())


def _jpeg(picture: npt.NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="JPEG", quality=_QUALITY, subsampling=0)
    return stream.getvalue()
