"""Command line of the collectors: `vla-collect babyai --level GoToObj --episodes 1500 --out DIR`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vla_datasets.babyai.collect import CollectOptions, collect
from vla_isa.errors import BadUsageError, VlaError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `vla-collect`; return 0 when fine, 1 when refused with a reason, 2 for bad usage."""
    console = Console(stderr=True)
    try:
        arguments = _parser().parse_args(argv)
        return _collect_babyai(arguments, console)
    except SystemExit as stop:  # argparse's own: 0 for --help, 2 for bad usage
        return int(stop.code or 0)
    except VlaError as error:
        console.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        return error.exit_code
    except KeyboardInterrupt:
        console.print("stopped; run the same command again to go on.")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vla-collect", description="Collect demonstrations.")
    datasets = parser.add_subparsers(dest="dataset", required=True)
    babyai = datasets.add_parser("babyai", help="BabyAI levels, played by BabyAIBot")
    babyai.add_argument("--level", default="GoToObj", help="for example GoToObj, GoToRedBall, GoToLocal")
    babyai.add_argument("--episodes", type=int, default=1500)
    babyai.add_argument("--out", type=Path, required=True, help="folder of the data set")
    babyai.add_argument("--seed", type=int, default=0)
    babyai.add_argument("--validation-fraction", type=float, default=0.1, help="held out (default 0.1)")
    babyai.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    babyai.add_argument("--shard", default="0/1", help="i/n: collect only every n-th block, from the i-th")
    return parser


def _collect_babyai(arguments: argparse.Namespace, console: Console) -> int:
    options = CollectOptions(
        level=arguments.level,
        episodes=arguments.episodes,
        seed=arguments.seed,
        validation_fraction=arguments.validation_fraction,
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    started = time.perf_counter()
    shard = _shard(arguments.shard)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"BabyAI {options.level}", total=options.episodes)
        finished = collect(
            options,
            arguments.out,
            workers=max(1, arguments.workers),
            shard=shard,
            progress=lambda episodes: bar.advance(task, episodes),
        )
    seconds = time.perf_counter() - started
    state = "complete" if finished else "shard done; run once more without --shard when all shards are"
    done = f"{options.episodes} episodes of {options.level}, {state} ({seconds:.1f} s)"
    sys.stdout.write(f"{arguments.out}: {done}\n")
    return 0


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise BadUsageError(f"--shard is '{text}'; it must be i/n with 0 <= i < n, for example 0/4.")
    return int(index), int(count)
