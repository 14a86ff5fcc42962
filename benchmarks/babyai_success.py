"""BabyAI: success against architecture and number of samples, at an equal number of training steps of 256 frames.

    vla-collect babyai --level GoToLocal --episodes 48000 --out runs/data
    python benchmarks/babyai_success.py --data runs/data --out runs/success [--steps N] [--samples N,N] [--episodes N]
        [--only moe,moe_dense] [--markdown FILE]

Rows are the plain network (`cnn`), FiLM (`film`), the mixture of experts (`moe`) and its ablations: one expert
(`moe_dense`), all hidden units (`moe_unmasked`), no FiLM (`moe_no_film`). Samples are frames to learn from: the first
episodes of the set that have as many. Learning rates are those of the training configs. Each policy acts in float on
the same seeds, which nobody trained on. A stopped run goes on where it was; what is done is not done again.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vla_datasets.files import write_json
from vla_datasets.lerobot.format import INFO_PATH
from vla_datasets.lerobot.reader import open_dataset
from vla_isa.documents import read_json
from vla_training.config.load import load_config
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.closed_loop import Evaluation, evaluate, load_evaluation, save_evaluation

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
        sys.exit(f"--samples has {samples}; {data} has {frames[-1]} frames to learn from.")
    if not (folder / INFO_PATH).exists():
        shutil.copytree(data / "meta", folder / "meta", dirs_exist_ok=True, ignore=shutil.ignore_patterns("info.json"))
        if not (folder / "data").exists():
            (folder / "data").symlink_to((data / "data").resolve())
        info: dict[str, Any] = read_json(data / INFO_PATH)
        info["splits"]["train"] = f"{train.start}:{train.start + count}"
        write_json(folder / INFO_PATH, info)
    return folder, int(frames[count - 1])


def measured(architecture: str, data: Path, samples: int, arguments: argparse.Namespace) -> Row:
    """Train and evaluate one policy, or read what was done."""
    from vla_models.saved import load_policy
    from vla_training.checkpoint import pretrained_folder
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
    policy = load_policy(pretrained_folder(run))
    return Row(architecture, sum(p.numel() for p in policy.parameters()), samples, load_evaluation(result))


def table(rows: Sequence[Row], steps: int) -> str:
    """The rows as Markdown."""
    lines = [
        f"| {steps:,} steps | parameters | samples | success | 95 % interval | steps of an episode |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        found, (low, high) = row.evaluation, row.evaluation.interval
        lines.append(
            f"| {row.architecture} | {row.parameters:,} | {row.samples:,} | {found.successes} of "
            f"{len(found.episodes):,} | {100 * low:.1f} to {100 * high:.1f} % | {found.mean_steps:.1f} |"
        )
    return "\n".join(lines) + "\n"


def _show(name: str, step: int, steps: int) -> None:
    if step % 100 == 0 or step == steps:
        print(f"{name}: step {step} of {steps}", file=sys.stderr, flush=True)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="demonstrations of vla-collect babyai")
    parser.add_argument("--out", type=Path, required=True, help="folder of everything that is made")
    parser.add_argument("--level", default="GoToLocal", help="of the demonstrations")
    parser.add_argument("--steps", type=int, default=4000, help="of each training")
    parser.add_argument("--samples", type=_numbers, default=[20000, 100000, 0], help="N,N,...; 0 for all there are")
    parser.add_argument("--episodes", type=int, default=500, help="that each policy plays")
    parser.add_argument("--only", default=",".join(ARCHITECTURES), help="architectures, between commas")
    parser.add_argument("--markdown", type=Path, help="file to write the table to")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",")
    if unknown := [name for name in chosen if name not in ARCHITECTURES]:
        sys.exit(f"--only has {', '.join(unknown)}; there are {', '.join(ARCHITECTURES)}.")
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for samples in arguments.samples:
        data, frames = subset(arguments.data, arguments.out / f"data-{samples}", samples)
        rows += [measured(name, data, frames, arguments) for name in chosen]
        text = table(rows, arguments.steps)
        if arguments.markdown:
            arguments.markdown.write_text(text, encoding="utf-8")
    print(text, end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
