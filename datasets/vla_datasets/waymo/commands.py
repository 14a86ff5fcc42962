"""What the commands about Waymo's set do. Each takes the parsed arguments and returns the exit code.

Not here: arguments (`vla_datasets.cli`), error messages (`vla_isa.command_line`).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from vla_datasets.engine import Engine
from vla_datasets.errors import DatasetError
from vla_datasets.picture_size import picture_size
from vla_datasets.progress import progress_bar
from vla_datasets.waymo.baselines import BASELINES
from vla_datasets.waymo.index import FrameIndex, open_frames, record_files
from vla_datasets.waymo.names import Camera, cameras_called
from vla_datasets.waymo.score import Scores, motion_of, read_predictions, score
from vla_datasets.waymo.submission import read_about, write_submission
from vla_isa.errors import BadUsageError, OutputError
from vla_isa.files import check_folder, check_writable

__all__ = ["import_set", "score_set", "write_set"]

_HELD_OUT = 0.1  # of the segments, where the files' names say nothing of splits
_LARGEST = 4096  # pixels of a side
_MOST_LINES = 2**28  # bytes of a file of names


def write_set(arguments: argparse.Namespace) -> int:
    """vla-collect waymo."""
    from vla_datasets.waymo.driven.write import WriteOptions, write_driven

    width, height = picture_size(arguments.size)
    options = WriteOptions(
        arguments.level,
        arguments.segments,
        arguments.frames,
        arguments.cameras,
        width,
        height,
        arguments.seed,
        arguments.validation_fraction,
    )
    check_folder(arguments.out, parents=True)
    started = time.perf_counter()
    with progress_bar() as bar:
        task = bar.add_task("waymo", total=options.segments)
        engine = Engine(arguments.workers, arguments.engine)
        files = write_driven(options, arguments.out, engine, lambda segments: bar.advance(task, segments))
    seconds = time.perf_counter() - started
    frames = options.segments * options.frames
    sys.stdout.write(
        f"{arguments.out}: {options.segments} segments, {frames} frames in {files} files ({seconds:.1f} s)\n"
    )
    return 0


def import_set(arguments: argparse.Namespace) -> int:
    """vla-collect import, of TFRecords."""
    from vla_datasets.waymo.prepare import import_frames

    if arguments.world:
        raise BadUsageError("--world is for recordings of Push-T; these are Waymo's TFRecords.")
    size = picture_size(arguments.size) if arguments.size else None
    if size and not all(1 <= side <= _LARGEST for side in size):
        raise DatasetError(f"--size is {arguments.size}; each side must be 1 to {_LARGEST} pixels.")
    cameras = cameras_called(arguments.cameras or Camera.FRONT.key)
    with progress_bar() as bar:
        task = bar.add_task(f"import {arguments.source.name}", total=None)
        info = import_frames(
            arguments.source,
            arguments.out,
            cameras,
            size,
            arguments.validation_fraction,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    held_out = info.splits["val"][1] - info.splits["val"][0]
    done = f"{info.total_episodes} segments, {info.total_frames} frames, {held_out} held out"
    sys.stdout.write(f"{arguments.out}: {done} ({info.collection['form']})\n")
    return 0


def score_set(arguments: argparse.Namespace) -> int:
    """vla-collect waymo-score."""
    if bool(arguments.submission) != bool(arguments.about):
        raise BadUsageError("--submission and --about belong together: a submission says what its method is.")
    about = read_about(arguments.about) if arguments.about else None
    if arguments.submission:
        _check_submission(arguments)
    index = open_frames(arguments.source)
    motion = motion_of(index.frame(number) for number in _chosen(index, arguments.split, arguments.names))
    if arguments.baseline:
        predicted = BASELINES[arguments.baseline](motion.past)
    else:
        predicted = read_predictions(arguments.predictions, motion.names)
    what = arguments.baseline or arguments.predictions
    sys.stdout.write(f"{arguments.source}: {what}, {len(motion.names)} frames\n{_text(score(motion, predicted))}")
    if about:
        write_submission(arguments.submission, about, dict(zip(motion.names, predicted, strict=True)))
        sys.stdout.write(f"{arguments.submission}: {len(motion.names)} predictions\n")
    return 0


def _check_submission(arguments: argparse.Namespace) -> None:
    """Refuse a file that cannot be written, or that is read: records are not had again soon."""
    out: Path = arguments.submission
    check_writable(out)
    for path in (*record_files(arguments.source), arguments.predictions, arguments.names, arguments.about):
        if path and path.exists() and out.exists() and out.samefile(path):
            raise OutputError(f"output '{out}' is a file that is read; choose another --submission.")


def _chosen(index: FrameIndex, split: str, names: Path | None) -> list[int]:
    """The numbers of the entries that are asked for, in the index's order."""
    chosen = list(range(len(index)))
    if split:
        splits = index.splits(_HELD_OUT)
        if split not in splits:
            raise DatasetError(f"{index.root} has no split '{split}'; it has {', '.join(splits)}.")
        chosen = [number for segment in splits[split] for number in index.segments[segment]]
    if names:
        wanted = _lines(names)
        chosen = [number for number in chosen if index.entries[number].name in wanted]
        if len(chosen) < len(wanted):
            missing = sorted(wanted - {index.entries[number].name for number in chosen})
            raise DatasetError(f"{index.root} has not {len(missing)} of the frames in {names}, such as {missing[0]}.")
    return chosen


def _lines(path: Path) -> set[str]:
    try:
        if path.stat().st_size > _MOST_LINES:
            raise DatasetError(f"{path} has more than {_MOST_LINES:,} bytes; give one frame name a line.")
        found = {line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()} - {""}
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {error}.") from error
    if not found:
        raise DatasetError(f"{path} is empty; give one frame name a line.")
    return found


def _text(found: Scores) -> str:
    """Two lines, or one where only one kind of score can be."""
    lines = []
    if found.driven:
        ades = f"ADE@3s {found.ade_3s:.3f} m, ADE@5s {found.ade_5s:.3f} m"
        lines.append(f"{ades} from where the car was ({found.driven} frames)")
    if found.rated:
        ades = f"ADE@3s {found.rated_ade_3s:.3f} m, ADE@5s {found.rated_ade_5s:.3f} m"
        lines.append(f"RFS {found.rfs:.3f} of 10; {ades} from the best-rated trajectory ({found.rated} frames)")
    return "".join(f"{line}\n" for line in lines or ["no frame has a future or a rated trajectory to compare with"])
