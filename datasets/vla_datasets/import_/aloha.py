"""A folder of ALOHA's episodes, as a set of two arms: RDT's fine-tuning data, or what ACT records.

Episodes lie in the folder, or in folders in it, one for each task. Not here: one file (`aloha_episode.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vla_datasets.errors import CollectError, DatasetError
from vla_datasets.import_.aloha_episode import ACTION as THEIR_ACTION
from vla_datasets.import_.aloha_episode import QPOS, Contents, contents, pictures, places
from vla_datasets.import_.aloha_instructions import INSTRUCTIONS, Instructions, read_instructions
from vla_datasets.import_.prepared import Prepared
from vla_datasets.import_.recording import Array, check_lengths
from vla_datasets.keys import ACTION, DONE, STATE, image
from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.lerobot.png import encode_png
from vla_datasets.lerobot.writer import Episode
from vla_datasets.unified.robots import ROBOTS, Robot, find_robot

__all__ = ["CHANNELS", "AlohaOptions", "find_episodes", "prepare_aloha"]

CHANNELS = ("rgb", "bgr")
_WORLD = "aloha"
_NAME = re.compile(r"episode_(\d{1,9})\.hdf5")
_MOST_FPS = 1000
_WIDEST = 2.0  # of a gripper from 0 to 1: teleoperation goes a little beyond, other robots' counts go far


@dataclass(frozen=True)
class AlohaOptions:
    """What the files do not say.

    Attributes:
        robot: whose they are, of `vla_datasets.unified.robots`: how its grippers count.
        fps: frames a second; 50 of ACT's recordings, 25 of RDT's.
        channels: the order in which decoded pictures have their colours: `bgr` where the recorder mixed them up.
        size: (width, height) to which pictures are averaged; None: as they are.
        task: a sentence for folders that have none.
        paraphrases: draw a sentence of RDT's file for each episode; or else take the instruction itself.
    """

    robot: str = "aloha"
    fps: int = 50
    channels: str = CHANNELS[0]
    size: tuple[int, int] | None = None
    task: str = ""
    paraphrases: bool = False

    def __post_init__(self) -> None:
        find_robot(self.robot)
        if not 1 <= self.fps <= _MOST_FPS:
            raise CollectError(f"--fps is {self.fps}; it must be 1 to {_MOST_FPS}.")
        if self.channels not in CHANNELS:
            raise CollectError(f"--channels is '{self.channels}'; it must be {' or '.join(CHANNELS)}.")


def find_episodes(folder: Path) -> list[Path]:
    """The episodes of a folder and of the folders in it, by folder and number."""
    if not folder.is_dir():
        return []
    found = [path for pattern in ("episode_*.hdf5", "*/episode_*.hdf5") for path in folder.glob(pattern)]
    named = [(path.parent, int(match[1]), path) for path in found if (match := _NAME.fullmatch(path.name))]
    return [path for _, _, path in sorted(named)]


def prepare_aloha(folder: Path, options: AlohaOptions) -> Prepared:
    """Look at all files of a folder.

    Raises:
        DatasetError: one is damaged or of another layout, or they have different cameras.
        CollectError: h5py is not installed; a folder says no task, or pictures cannot be averaged as asked.
    """
    paths = find_episodes(folder)
    found = [contents(path) for path in paths]
    check_lengths(folder, [one.length for one in found])
    _check_cameras(paths, found)
    said = {path.parent: read_instructions(path.parent) for path in paths}
    for parent, instructions in said.items():
        if instructions is None and not options.task:
            raise CollectError(f"{parent} has no {INSTRUCTIONS}; say in words what is done, with --task.")
    shapes = {ours: _size(folder, shape, options.size) for ours, (_, shape) in found[0].cameras.items()}
    robot = find_robot(options.robot)
    joints = Feature("float32", (len(robot.names),), tuple(robot.names))
    drawn = {image(ours): Feature("image", shape, ("height", "width", "channels")) for ours, shape in shapes.items()}
    features = {**drawn, STATE: joints, ACTION: joints, DONE: Feature("bool", (1,)), **BOOKKEEPING}
    every = _episodes(paths, found, said, shapes, robot, options)
    return Prepared("ALOHA's HDF5", _WORLD, {"robot": robot.name}, features, options.fps, len(paths), every)


def _episodes(
    paths: Sequence[Path],
    found: Sequence[Contents],
    said: Mapping[Path, Instructions | None],
    shapes: Mapping[str, tuple[int, ...]],
    robot: Robot,
    options: AlohaOptions,
) -> Iterator[Episode]:
    """All episodes; the number stands for a seed."""
    for number, (path, one) in enumerate(zip(paths, found, strict=True)):
        state, action = places(path)
        if len(state) != one.length:
            raise DatasetError(f"{path} has changed while it was read.")
        state, action = state / robot.state_divisors, action / robot.action_divisors
        _check_grippers(path, robot, {QPOS: state, THEIR_ACTION: action})
        columns: dict[str, list[Any]] = {
            STATE: list(state),
            ACTION: list(action),
            DONE: [False] * (one.length - 1) + [True],
        }
        for ours, (theirs, shape) in one.cameras.items():
            every = pictures(path, theirs, shape)
            columns[image(ours)] = [encode_png(_picture(pixels, shapes[ours], options.channels)) for pixels in every]
        instructions = said[path.parent]
        task = options.task
        if instructions is not None:
            task = instructions.drawn(number) if options.paraphrases else instructions.original()
        yield Episode(number, task, columns)


def _check_grippers(path: Path, robot: Robot, values: Mapping[str, Array]) -> None:
    """Refuse grippers (T,) that are far from 0 to 1 once they are divided: they are another robot's.

    Raises:
        DatasetError: says which, and how far.
    """
    for key, frames in values.items():
        for place, name in enumerate(robot.names):
            far = np.abs(frames[:, place]).max()
            if name.endswith("gripper_open") and far > _WIDEST:
                raise DatasetError(
                    f"{path}: '{key}' has a {name} of {far:.3g}, as robot '{robot.name}' counts; it must be 0 to 1. "
                    f"Say whose it is, by --robot ({', '.join(each.name for each in ROBOTS)})."
                )


def _picture(pixels: npt.NDArray[np.uint8], shape: tuple[int, ...], channels: str) -> npt.NDArray[np.uint8]:
    """RGB of a size."""
    ordered = np.ascontiguousarray(pixels[..., ::-1]) if channels == "bgr" else pixels
    if ordered.shape == shape:
        return ordered
    return np.asarray(Image.fromarray(ordered).resize((shape[1], shape[0]), Image.Resampling.BOX))


def _size(folder: Path, found: tuple[int, int, int], asked: tuple[int, int] | None) -> tuple[int, int, int]:
    """The shape that pictures of a shape get.

    Raises:
        CollectError: they would be drawn out, or made of more than there is.
    """
    width, height = asked or (found[1], found[0])
    if not 1 <= height <= found[0] or height * found[1] != width * found[0]:
        raise CollectError(
            f"--size is {width}x{height}, and pictures of {folder} are {found[1]}x{found[0]}; give a smaller size of "
            "the same shape."
        )
    return height, width, 3


def _check_cameras(paths: Sequence[Path], found: Sequence[Contents]) -> None:
    for path, one in zip(paths, found, strict=True):
        if {n: shape for n, (_, shape) in one.cameras.items()} != {n: s for n, (_, s) in found[0].cameras.items()}:
            texts = [", ".join(f"{n} {list(s)}" for n, (_, s) in c.cameras.items()) or "none" for c in (one, found[0])]
            raise DatasetError(
                f"{path} has the cameras {texts[0]}; {paths[0]} has {texts[1]}. Import them as two sets."
            )
