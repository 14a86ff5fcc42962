"""Push-T: success of trained policies against the steps done open-loop and against Euler steps, float beside int8.

    python benchmarks/pusht_success.py RUN [RUN ...] --data runs/pusht --out runs/pusht_success [--level LEVEL]
        [--execute N,N] [--euler N,N] [--backends float,sim] [--episodes N] [--markdown FILE]
        [--chart FILE.svg] [--euler-chart FILE.svg]

A run is a folder of `vla-train train`. A policy is asked again after `--execute` steps; each number of `--euler` steps
is played with the first of them. On `sim` and `rtl` the policy is exported, calibrated with held-out frames of `--data`
and compiled for `u50` anew for each: all of it runs as one program. Same seeds everywhere, which nobody trained on.
Score is the mean of the largest reward of an episode, coverage that of the goal without a limit. What is done is not
done again: table and chart have all that --out has of so many episodes.
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
from prepare import count, names_of, numbers

from vla_datasets.engine import Engine
from vla_datasets.worlds.registry import find_world
from vla_isa import image
from vla_isa.errors import VlaError
from vla_isa.files import check_writable, make_folder, write_whole
from vla_models.saved import load_config
from vla_training.calibrate import calibration_arrays
from vla_training.checkpoint import pretrained_folder
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.closed_loop import Evaluation, compare, evaluate, load_evaluation, save_evaluation
from vla_training.evaluate.rate_curves import Curve, Point, rate_curves
from vlac import CompileOptions, compile_file

_CONFIG = "u50"


@dataclass(frozen=True)
class Case:
    """A policy, how it acts, and where; its results are in a folder of its own."""

    name: str
    backend: str
    execute: int
    euler: int  # 0 where it has no sampler

    @property
    def folder(self) -> str:
        """Of the results."""
        return f"{self.name}-{self.backend}-{self.execute}-{self.euler}"


def cases(run: Path, arguments: argparse.Namespace) -> list[Case]:
    """All that is asked of a run."""
    _, config = load_config(pretrained_folder(run))
    own = 0 if getattr(config, "method", "") == "direct" else getattr(config, "sampler_steps", 0)
    found = [(n, own) for n in arguments.execute]
    found += [(arguments.execute[0], n) for n in arguments.euler if own and n != own]
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
    changed = {"execute": case.execute, **({"sampler_steps": case.euler} if case.euler else {})}
    (policy / "config.json").write_text(json.dumps(stored | changed), encoding="utf-8")
    path = policy if case.backend == "float" else compiled(policy, folder / "prog.bin", arguments.data)
    spec = RunnerSpec(case.backend, path, "" if case.backend == "float" else str(policy))
    print(f"{case.folder}: {arguments.episodes} episodes ...", file=sys.stderr, flush=True)
    played = evaluate(spec, arguments.world, arguments.level, arguments.episodes, Engine(arguments.workers))
    save_evaluation(result, played)


def compiled(policy: Path, program: Path, data: Path) -> Path:
    """The policy's program, calibrated with 256 held-out frames."""
    from vla_models.export_onnx import export_onnx
    from vla_models.saved import load_policy

    model = program.with_suffix(".onnx")
    export_onnx(load_policy(policy), model)
    state = compile_file(model, _CONFIG, CompileOptions(calibration=calibration_arrays(data, policy, 256)))
    image.save(state.program, program)
    return program


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
    found = {}
    for result in sorted(arguments.out.glob(f"*/{arguments.level}-{arguments.episodes}.json")):
        name, backend, execute, euler = result.parent.name.rsplit("-", 3)
        found[Case(name, backend, int(execute), int(euler))] = load_evaluation(result)
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
            f"| {case.name} | {case.backend} | {case.execute} | {case.euler or ''} | {played.successes} of "
            f"{len(played.episodes):,} | {100 * low:.1f} to {100 * high:.1f} % | {played.score:.3f} | "
            f"{coverage(played, arguments):.3f} | {p} |"
        )
    return "\n".join(lines) + "\n"


def chart(found: dict[Case, Evaluation], axis: str) -> str:
    """Success against the steps done open-loop (`execute`) or Euler steps (`euler`): curves by policy and backend.

    The other number is a policy's own: the most Euler steps, and what most of its results have done of a chunk.
    """
    curves = []
    for name, backend in dict.fromkeys((case.name, case.backend) for case in found):
        mine = {case: played for case, played in found.items() if (case.name, case.backend) == (name, backend)}
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
