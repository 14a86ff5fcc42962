"""BabyAI: success against architecture and number of samples, at an equal number of training steps of 256 frames.

    vla-collect babyai --level GoToLocal --episodes 48000 --out runs/data
    python benchmarks/babyai_success.py --data runs/data --out runs/success [--steps N] [--samples N,N] [--episodes N]
        [--only moe,moe_dense] [--markdown FILE] [--chart FILE.svg]

Rows are the plain network (`cnn`), FiLM (`film`), the mixture of experts (`moe`) and its ablations: one expert
(`moe_dense`), all hidden units (`moe_unmasked`), no FiLM (`moe_no_film`). Samples are frames to learn from: the first
episodes of the set that have as many. Learning rates are those of the training configs. Each policy acts in float on
the same seeds, which nobody trained on. Of the mixtures the table has the router's entropy (nats, held-out frames; of E
experts at most log E) and the share of the frames that the least and the most used expert get. A stopped run goes on
where it was, and what is done is not done again: table and chart have all that --out has of so many steps and episodes.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from prepare import count, names_of, numbers

from vla_datasets.files import write_json
from vla_datasets.lerobot.format import INFO_PATH
from vla_datasets.lerobot.reader import dataset_digest, open_dataset
from vla_datasets.worlds.registry import find_world
from vla_isa.documents import read_json
from vla_isa.errors import BadUsageError, VlaError
from vla_isa.files import check_writable, make_folder, write_whole
from vla_training.config.load import load_config
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.closed_loop import Evaluation, evaluate, load_evaluation, save_evaluation
from vla_training.evaluate.rate_curves import Curve, Point, rate_curves

ARCHITECTURES: dict[str, tuple[str, tuple[str, ...]]] = {  # training config, and options of it
    "cnn": ("goto_local", ()),
    "film": ("goto_local_film", ()),
    "moe": ("goto_local_moe", ()),
    "moe_dense": ("goto_local_moe", ("--policy-options.experts", "1")),
    "moe_unmasked": ("goto_local_moe", ("--policy-options.kept", "256")),
    "moe_no_film": ("goto_local_moe", ("--policy-options.no-film",)),
}


@dataclass(frozen=True)
class Row:
    """One policy of the table; parameters and frames to learn from are counts."""

    architecture: str
    parameters: int
    samples: int
    evaluation: Evaluation
    router: Mapping[str, float]  # its entropy and the use of each expert; nothing where there is none


def subset(data: Path, folder: Path, samples: int) -> tuple[Path, int]:
    """The set of the first training episodes that have `samples` frames, and how many they have; 0 for all.

    Its files are those of `data`; only the split of its description is another one.
    """
    dataset = open_dataset(data)
    train = dataset.split("train")
    frames = np.cumsum([int(dataset.episodes[number]["length"]) for number in train])
    if not samples:
        return data, int(frames[-1])
    count = int(np.searchsorted(frames, samples)) + 1
    if count > len(train):
        raise BadUsageError(f"--samples has {samples}; {data} has {frames[-1]} frames to learn from, or 0 for all")
    if not (folder / INFO_PATH).exists():
        shutil.copytree(data / "meta", folder / "meta", dirs_exist_ok=True, ignore=shutil.ignore_patterns("info.json"))
        if not (folder / "data").exists():
            (folder / "data").symlink_to((data / "data").resolve())
        info: dict[str, Any] = read_json(data / INFO_PATH)
        info["splits"]["train"] = f"{train.start}:{train.start + count}"
        write_json(folder / INFO_PATH, info)
    return folder, int(frames[count - 1])


def measure(architecture: str, data: Path, samples: int, arguments: argparse.Namespace) -> None:
    """Train and evaluate one policy, unless that was done."""
    from vla_training.loop import train

    config_name, own = ARCHITECTURES[architecture]
    saves = min(500, arguments.steps)
    rhythm = ("--save-every", str(saves), "--validate-every", str(saves * -(-arguments.steps // saves)))
    steps = ("--steps", str(arguments.steps), "--threads", "1", "--level", arguments.level)
    config = load_config(config_name, [*steps, *rhythm, *own])
    run = arguments.out / f"{architecture}-{samples}-{arguments.steps}"
    result = run / f"evaluation-{arguments.episodes}.json"
    if not result.exists():
        train(config, data, run, progress=lambda step, values: _show(run.name, step, arguments.steps))
        save_evaluation(result, evaluate(RunnerSpec("float", run), config.world, config.level, arguments.episodes))


def measured(out: Path, steps: int, episodes: int) -> list[Row]:
    """All that is done in the folder, by samples and in the order of the architectures."""
    from vla_models.saved import load_policy
    from vla_training.checkpoint import pretrained_folder

    rows = []
    for result in out.glob(f"*-*-{steps}/evaluation-{episodes}.json"):
        if match := re.fullmatch(rf"(\w+)-(\d+)-{steps}", result.parent.name):
            policy = load_policy(pretrained_folder(result.parent))
            parameters = sum(p.numel() for p in policy.parameters())
            last = json.loads((result.parent / "train.jsonl").read_text(encoding="utf-8").splitlines()[-1])
            kept = ("validation_router_entropy", "validation_use_")
            router = {name: value for name, value in last.items() if name.startswith(kept)}
            rows.append(Row(match[1], parameters, int(match[2]), load_evaluation(result), router))
    names = [*ARCHITECTURES]
    return sorted(rows, key=lambda row: (row.samples, names.index(row.architecture)))


def table(rows: Sequence[Row], steps: int) -> str:
    """The rows as Markdown."""
    lines = [
        f"| {steps:,} steps | parameters | samples | success | 95 % interval | steps of an episode | router entropy "
        "| an expert's share |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        found, (low, high) = row.evaluation, row.evaluation.interval
        lines.append(
            f"| {row.architecture} | {row.parameters:,} | {row.samples:,} | {found.successes} of "
            f"{len(found.episodes):,} | {100 * low:.1f} to {100 * high:.1f} % | {found.mean_steps:.1f} "
            f"| {_routed(row)} |"
        )
    return "\n".join(lines) + "\n"


def _routed(row: Row) -> str:
    shares = [value for name, value in row.router.items() if "_use_" in name]
    if not shares:
        return "|"
    return f"{row.router['validation_router_entropy']:.2f} | {100 * min(shares):.0f} to {100 * max(shares):.0f} %"


def chart(rows: Sequence[Row], steps: int) -> str:
    """Success against samples as an SVG, a curve for each architecture."""
    curves = []
    for name in dict.fromkeys(row.architecture for row in rows):
        mine = [row for row in rows if row.architecture == name]
        curves.append(Curve(name, [_point(row) for row in mine]))
    level = rows[0].evaluation.level
    return rate_curves(f"{level}: success after {steps:,} steps", "samples", curves, lambda samples: f"{samples:,.0f}")


def _point(row: Row) -> Point:
    played = row.evaluation
    note = f"{row.architecture}, {row.samples:,} samples: {played.successes} of {len(played.episodes):,}"
    return Point(row.samples, played.rate, played.interval, note)


def claim(out: Path, level: str, data: Path) -> None:
    """Note whose results the folder has, or refuse those of other data or another level."""
    path, asked = out / "asked.json", {"level": level, "data": dataset_digest(data)}
    if not path.exists():
        write_json(path, asked)
        return
    try:
        found = read_json(path)
    except ValueError as error:
        raise BadUsageError(f"{path} is damaged ({error}); give another --out") from error
    if found != asked:
        raise BadUsageError(f"--out {out} has results of {found}, not of {asked}; give another folder")


def _show(name: str, step: int, steps: int) -> None:
    if step % 100 == 0 or step == steps:
        print(f"{name}: step {step} of {steps}", file=sys.stderr, flush=True)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="demonstrations of vla-collect babyai")
    parser.add_argument("--out", type=Path, required=True, help="folder of everything that is made")
    parser.add_argument("--level", default="GoToLocal", help="of the demonstrations")
    parser.add_argument("--steps", type=count, default=4000, help="of each training")
    parser.add_argument("--samples", type=numbers, default=[20000, 100000, 0], help="N,N,...; 0 for all there are")
    parser.add_argument("--episodes", type=count, default=500, help="that each policy plays")
    parser.add_argument(
        "--only", type=names_of(ARCHITECTURES), default=[*ARCHITECTURES], help="architectures, between commas"
    )
    parser.add_argument("--markdown", type=Path, help="file to write the table to")
    parser.add_argument("--chart", type=Path, help="SVG file to draw success against samples in")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    arguments = _arguments(argv)
    try:
        for path in (arguments.markdown, arguments.chart):
            if path is not None:
                check_writable(path)
        find_world("babyai").make(arguments.level).close()
        parts = [(arguments.out / f"data-{samples}", samples) for samples in arguments.samples]
        open_dataset(arguments.data)
        make_folder(arguments.out)
        claim(arguments.out, arguments.level, arguments.data)
        sets = [subset(arguments.data, folder, samples) for folder, samples in parts]
        for data, frames in sets:
            for name in arguments.only:
                measure(name, data, frames, arguments)
                _write(arguments)
    except VlaError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(table(measured(arguments.out, arguments.steps, arguments.episodes), arguments.steps), end="")
    return 0


def _write(arguments: argparse.Namespace) -> None:
    rows = measured(arguments.out, arguments.steps, arguments.episodes)
    if arguments.markdown:
        write_whole(arguments.markdown, table(rows, arguments.steps).encode())
    if arguments.chart:
        write_whole(arguments.chart, chart(rows, arguments.steps).encode())


if __name__ == "__main__":
    raise SystemExit(main())
