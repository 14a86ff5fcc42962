"""What the commands of `vla-collect` do. Each takes the parsed arguments and returns the exit code.

Not here: arguments (`cli.py`), error messages (`vla_isa.command_line`).
"""

from __future__ import annotations

import argparse
import sys
import time

from vla_datasets.collect import CollectOptions, collect
from vla_datasets.engine import Engine
from vla_datasets.picture_size import picture_size
from vla_datasets.progress import progress_bar
from vla_isa.errors import BadUsageError
from vla_isa.files import check_folder

__all__ = ["collect_world", "import_data", "write_csv", "write_hdf5", "write_statistics"]

_WEIGHT = 100.0  # RDT's of a single set


def collect_world(arguments: argparse.Namespace) -> int:
    """vla-collect WORLD."""
    options = CollectOptions(
        world=arguments.command,
        level=arguments.level,
        episodes=arguments.episodes,
        seed=arguments.seed,
        validation_fraction=arguments.validation_fraction,
    )
    shard = _shard(arguments.shard)
    check_folder(arguments.out, parents=True)
    started = time.perf_counter()
    with progress_bar() as bar:
        task = bar.add_task(f"{options.world} {options.level}", total=options.episodes)
        finished = collect(
            options,
            arguments.out,
            engine=Engine(arguments.workers, arguments.engine),
            shard=shard,
            progress=lambda episodes: bar.advance(task, episodes),
        )
    seconds = time.perf_counter() - started
    state = "complete" if finished else "shard done; run once more without --shard when all shards are"
    done = f"{options.episodes} episodes of {options.level}, {state} ({seconds:.1f} s)"
    sys.stdout.write(f"{arguments.out}: {done}\n")
    return 0


def import_data(arguments: argparse.Namespace) -> int:
    """vla-collect import."""
    from vla_datasets.import_.aloha import AlohaOptions
    from vla_datasets.import_.write import import_recording
    from vla_datasets.waymo.commands import import_set
    from vla_datasets.waymo.index import record_files

    check_folder(arguments.out, parents=True)
    size = picture_size(arguments.size) if arguments.size else None
    aloha = AlohaOptions(
        arguments.robot, arguments.fps, arguments.channels, size, arguments.task, arguments.paraphrases
    )
    if record_files(arguments.source):
        if aloha != AlohaOptions(size=size):
            raise BadUsageError(f"{arguments.source} has Waymo's TFRecords; give it no option of ALOHA's episodes.")
        return import_set(arguments)
    if arguments.cameras:
        raise BadUsageError(
            f"--cameras is for Waymo's TFRecords, and no file of {arguments.source} is called *.tfrecord*."
        )
    with progress_bar() as bar:
        task = bar.add_task(f"import {arguments.source.name}", total=None)
        info = import_recording(
            arguments.source,
            arguments.out,
            arguments.world,
            arguments.validation_fraction,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            aloha=aloha,
        )
    held_out = info.splits["val"][1] - info.splits["val"][0]
    done = f"{info.total_episodes} episodes of {info.robot_type}, {info.total_frames} frames, {held_out} held out"
    sys.stdout.write(f"{arguments.out}: {done} ({info.collection['form']})\n")
    return 0


def write_csv(arguments: argparse.Namespace) -> int:
    """vla-collect csv."""
    from vla_datasets.worlds.driving.csv_table import export_csv

    check_folder(arguments.out, parents=True)
    rows = export_csv(arguments.data, arguments.out, arguments.by, arguments.seed)
    sys.stdout.write(f"{arguments.out}: data.csv with {rows} rows\n")
    return 0


def write_hdf5(arguments: argparse.Namespace) -> int:
    """vla-collect hdf5."""
    from vla_datasets.export.aloha import export_aloha

    check_folder(arguments.out, parents=True)
    with progress_bar() as bar:
        task = bar.add_task(f"write {arguments.out.name}", total=None)
        written = export_aloha(
            arguments.data,
            arguments.out,
            arguments.robot,
            not arguments.raw,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    sys.stdout.write(f"{arguments.out}: {written} episodes of ALOHA's HDF5\n")
    return 0


def write_statistics(arguments: argparse.Namespace) -> int:
    """vla-collect statistics."""
    from vla_datasets.unified.statistics import FILES, describe, write_description

    weights = arguments.weights or [_WEIGHT] * len(arguments.data)
    if len(weights) != len(arguments.data):
        raise BadUsageError(f"--weights has {len(weights)} values; there are {len(arguments.data)} data sets.")
    check_folder(arguments.out, parents=True)
    found = [describe(root, arguments.robot) for root in arguments.data]
    write_description(found, weights, arguments.out)
    for root, one in zip(arguments.data, found, strict=True):
        sys.stdout.write(f"{root}: '{one.name}', {one.frames} frames, {one.fps} a second\n")
        for number, reason in one.left_out.items():
            sys.stdout.write(f"  episode {number} is left out: {reason}\n")
    sys.stdout.write(f"{arguments.out}: {', '.join(FILES)}\n")
    return 0


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise BadUsageError(f"--shard is '{text}'; it must be i/n with 0 <= i < n, for example 0/4.")
    return int(index), int(count)
