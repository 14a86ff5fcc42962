"""Push-T: success of trained policies against the steps done open-loop and against Euler steps, float beside int8.

    python benchmarks/pusht_success.py RUN [RUN ...] --data runs/pusht --out runs/pusht_success [--level LEVEL]
        [--execute N,N] [--euler N,N] [--backends float,sim] [--episodes N] [--markdown FILE]
        [--chart FILE.svg] [--euler-chart FILE.svg]

A run is a folder of `vla-train train`; one that sees pictures plays `--world pusht_pixels`. A policy is asked again
after `--execute` steps; each number of `--euler` steps is played with the first of them. Of a policy of two heads
both are played. On `sim` and `rtl` the policy is exported, calibrated with held-out frames of `--data` and compiled
for `u50`, once for each number of Euler steps, to one program. Same seeds everywhere, which nobody trained on. Score
is the mean of the largest reward of an episode, coverage that of the goal without a limit. What is done is not done
again: table and chart have all that --out has of so many episodes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from policy_program import compiled
from prepare import count, names_of, numbers

from vla_datasets.engine import Engine
from vla_datasets.worlds.registry import find_world
from vla_isa.errors import VlaError
from vla_isa.files import check_writable, make_folder, write_whole
from vla_models.flow_autoregressive.names import AUTOREGRESSIVE, FLOW, HEADS
from vla_models.saved import load_config
from vla_training.checkpoint import pretrained_folder
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.closed_loop import Evaluation, compare, evaluate, load_evaluation, save_evaluation
from vla_training.evaluate.rate_curves import Curve, Point, rate_curves

_CONFIG = "u50"


@dataclass(frozen=True)
class Case:
    """A policy, how it acts, and where; its results are in a folder of its own."""

    name: str
    backend: str
    execute: int
    euler: int  # 0 where it has no sampler
    head: str = ""  # that acts, where it has several

    @property
    def policy(self) -> str:
        """What table and chart call it."""
        return f"{self.name}, {self.head}" if self.head else self.name

    @property
    def folder(self) -> str:
        """Of the results."""
        named = f"{self.name}.{self.head}" if self.head else self.name
        return f"{named}-{self.backend}-{self.execute}-{self.euler}"

    @staticmethod
    def of_folder(folder: str) -> Case:
        """The case whose results lie there."""
        named, backend, execute, euler = folder.rsplit("-", 3)
        name, _, head = named.rpartition(".")
        name, head = (name, head) if head in HEADS else (named, "")
        return Case(name, backend, int(execute), int(euler), head)


def cases(run: Path, arguments: argparse.Namespace) -> list[Case]:
    """All that is asked of a run."""
    _, config = load_config(pretrained_folder(run))
    own = 0 if getattr(config, "method", "") == "direct" else getattr(config, "sampler_steps", 0)
    head = FLOW if hasattr(config, "head") else ""
    found = [(n, own, head) for n in arguments.execute]
    found += [(arguments.execute[0], n, head) for n in arguments.euler if own and n != own]
    found += [(n, 0, AUTOREGRESSIVE) for n in arguments.execute if head]
    return [Case(run.name, backend, *each) for backend in arguments.backends for each in found]


def measure(run: Path, case: Case, arguments: argparse.Namespace) -> None:
    """Play the episodes, unless that was done."""
    folder = arguments.out / case.folder
    result = folder / f"{arguments.level}-{arguments.episodes}.json"
    if result.exists():
        return
    policy = folder / "policy"
    shutil.copytree(pretrained_folder(run), policy, dirs_exist_ok=True)
    stored = json.loads((policy / "config.json").read_text(encoding="utf-8"))
    changed: dict[str, Any] = {"execute": case.execute, **({"sampler_steps": case.euler} if case.euler else {})}
    changed |= {"head": case.head} if case.head else {}
    (policy / "config.json").write_text(json.dumps(stored | changed), encoding="utf-8")
    path = policy
    if case.backend != "float":
        steps = (stored | changed).get("sampler_steps", 0)
        path = compiled(policy, arguments.out / "programs" / f"{case.name}-{steps}.bin", arguments.data, _CONFIG)
    spec = RunnerSpec(case.backend, path, "" if case.backend == "float" else str(policy))
    print(f"{case.folder}: {arguments.episodes} episodes ...", file=sys.stderr, flush=True)
    played = evaluate(spec, arguments.world, arguments.level, arguments.episodes, Engine(arguments.workers))
    save_evaluation(result, played)


def coverage(played: Evaluation, arguments: argparse.Namespace) -> float:
    """Mean of the largest coverage, by playing the actions again."""
    world: Any = find_world(arguments.world).make(arguments.level)
    found = []
    for episode in played.episodes:
        world.reset(seed=episode.seed)
        for action in episode.actions:
            *_, info = world.step(np.asarray(action))
        found.append(info["max_coverage"])
    world.close()
    return float(np.mean(found))


def rows(arguments: argparse.Namespace) -> dict[Case, Evaluation]:
    """All that is done of so many episodes."""
    results = arguments.out.glob(f"*/{arguments.level}-{arguments.episodes}.json")
    found = {Case.of_folder(result.parent.name): load_evaluation(result) for result in results}
    return dict(sorted(found.items(), key=lambda row: dataclasses.astuple(row[0])))


def table(found: dict[Case, Evaluation], arguments: argparse.Namespace) -> str:
    """The rows as Markdown."""
    lines = [
        "| policy | backend | done of a chunk | Euler steps | success | 95 % interval | score | coverage | McNemar's p "
        "against float |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for case, played in found.items():
        low, high = played.interval
        partner = found.get(dataclasses.replace(case, backend="float"))
        p = "" if partner is None or case.backend == "float" else f"{compare(partner, played).p_value:.2f}"
        lines.append(
            f"| {case.policy} | {case.backend} | {case.execute} | {case.euler or ''} | {played.successes} of "
            f"{len(played.episodes):,} | {100 * low:.1f} to {100 * high:.1f} % | {played.score:.3f} | "
            f"{coverage(played, arguments):.3f} | {p} |"
        )
    return "\n".join(lines) + "\n"


def chart(found: dict[Case, Evaluation], axis: str) -> str:
    """Success against the steps done open-loop (`execute`) or Euler steps (`euler`): curves by policy and backend.

    The other number is a policy's own: the most Euler steps, and what most of its results have done of a chunk.
    """
    curves = []
    for name, backend in dict.fromkeys((case.policy, case.backend) for case in found):
        mine = {case: played for case, played in found.items() if (case.policy, case.backend) == (name, backend)}
        own = max(case.euler for case in mine), statistics.mode(case.execute for case in mine)
        kept = [case for case in mine if (case.euler == own[0] if axis == "execute" else case.execute == own[1])]
        points = [_point(getattr(case, axis), mine[case]) for case in kept if getattr(case, axis)]
        if points:
            curves.append(Curve(f"{name}, {backend}", sorted(points, key=lambda point: point.at)))
    text = {"execute": "steps done of a chunk", "euler": "Euler steps"}[axis]
    return rate_curves("Push-T: success", text, curves, lambda steps: f"{steps:.0f}")


def _point(at: int, played: Evaluation) -> Point:
    return Point(at, played.rate, played.interval, f"{played.successes} of {len(played.episodes):,}")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of vla-train train")
    parser.add_argument("--data", type=Path, required=True, help="demonstrations whose held-out frames calibrate")
    parser.add_argument("--out", type=Path, required=True, help="folder of everything that is made")
    parser.add_argument("--world", default="pusht")
    parser.add_argument("--level", default="fixed")
    parser.add_argument("--execute", type=numbers, default=[4], help="steps done before the policy is asked again")
    parser.add_argument("--euler", type=numbers, default=[], help="other numbers of Euler steps than the policy's own")
    parser.add_argument("--backends", type=names_of(("float", "sim", "rtl")), default=["float", "sim"])
    parser.add_argument("--episodes", type=count, default=500, help="that each policy plays")
    parser.add_argument("--workers", type=count, default=2, help="processes")
    parser.add_argument("--markdown", type=Path, help="file to write the table to")
    parser.add_argument("--chart", type=Path, help="SVG file to draw success against the steps done in")
    parser.add_argument("--euler-chart", type=Path, help="SVG file to draw success against Euler steps in")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    arguments = _arguments(argv)
    try:
        for path in (arguments.markdown, arguments.chart, arguments.euler_chart):
            if path is not None:
                check_writable(path)
        make_folder(arguments.out)
        for run in arguments.runs:
            for case in cases(run, arguments):
                measure(run, case, arguments)
    except VlaError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    found = rows(arguments)
    text = table(found, arguments)
    print(text, end="")
    if arguments.markdown:
        write_whole(arguments.markdown, text.encode())
    for axis, path in (("execute", arguments.chart), ("euler", arguments.euler_chart)):
        if path:
            write_whole(path, chart(found, axis).encode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
