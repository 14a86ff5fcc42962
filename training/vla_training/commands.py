"""What the commands of `vla-train` do. Each takes the parsed arguments and returns the exit code.

Not here: arguments (`cli.py`), error messages (`vla_isa.command_line`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from vla_datasets.engine import Engine
from vla_isa.errors import BadUsageError
from vla_isa.files import check_folder, check_writable, write_whole
from vla_training.allocator import keep_memory
from vla_training.evaluate.backends import RunnerSpec, ServerSpec, natural_backend
from vla_training.evaluate.closed_loop import (
    Evaluation,
    compare,
    evaluate,
    load_evaluation,
    parted,
    save_evaluation,
)
from vla_training.progress import progress_bar

__all__ = [
    "calibrate",
    "compare_evaluations",
    "dagger",
    "demo",
    "demo_driving",
    "embed_text",
    "evaluate_policy",
    "export",
    "export_lerobot",
    "fit_risk",
    "import_lerobot",
    "mask",
    "prune",
    "risk",
    "score_waypoints",
    "train",
]


def train(arguments: argparse.Namespace) -> int:
    """vla-train train."""
    from vla_training.config.load import config_help, load_config

    if arguments.options:
        sys.stdout.write(config_help(arguments.config))
        return 0
    config = load_config(arguments.config, arguments.rest)
    for name in ("data", "out"):
        if getattr(arguments, name) is None:
            raise BadUsageError(f"--{name} must be given")
    check_folder(arguments.out, parents=True)
    from vla_training.loop import train as run  # torch: a wrong config is refused without it

    keep_memory()
    with progress_bar(Console(stderr=True), f"training {config.level}", config.steps) as bar:

        def show(step: int, values: Mapping[str, float]) -> None:
            bar.move_to(step, f"loss {values['loss']:.4f}")

        folder = run(config, arguments.data, arguments.out, progress=show)
    if os.environ.get("RANK", "0") == "0":  # of several processes of torchrun one speaks
        sys.stdout.write(f"{folder}\n")
    return 0


def embed_text(arguments: argparse.Namespace) -> int:
    """vla-train embed-text."""
    from vla_datasets.lerobot.reader import open_dataset

    texts = list(arguments.text)
    if arguments.data is not None:
        texts += open_dataset(arguments.data).tasks.values()
    if not texts:
        raise BadUsageError("give --text or --data")
    check_folder(arguments.out, parents=True)
    from vla_models.language.embeddings import write_embeddings
    from vla_models.language.encoder import embed

    encoder, rows = embed(arguments.encoder, texts)
    write_embeddings(arguments.out, encoder, rows)
    sys.stdout.write(f"{arguments.out}: {len(rows)} sentences by {encoder}\n")
    return 0


def dagger(arguments: argparse.Namespace) -> int:
    """vla-train dagger."""
    from vla_training.config.load import load_config

    config = load_config(arguments.config, arguments.rest)
    check_folder(arguments.out, parents=True)
    from vla_training.dagger.rounds import DaggerOptions
    from vla_training.dagger.rounds import dagger as run

    options = DaggerOptions(arguments.rounds, arguments.rollouts, arguments.beta, arguments.most_steps)
    engine = Engine(arguments.workers, arguments.engine)
    with progress_bar(Console(stderr=True), f"rounds of {config.level}", options.rounds) as bar:
        folder = run(config, arguments.data, arguments.out, options, arguments.policy, engine, bar.move_to)
    sys.stdout.write(f"{folder}\n")
    return 0


def export(arguments: argparse.Namespace) -> int:
    """vla-train export."""
    check_writable(arguments.output)
    from vla_models.export_onnx import export_onnx
    from vla_models.policy import graph_paths
    from vla_models.saved import load_policy
    from vla_training.checkpoint import pretrained_folder

    policy = load_policy(pretrained_folder(arguments.policy))
    difference = export_onnx(policy, arguments.output, circuits=arguments.circuits)
    written = ", ".join(map(str, graph_paths(arguments.output, policy.graphs())))
    sys.stdout.write(f"{written}: ONNX Runtime differs from torch by at most {difference:.2g}\n")
    return 0


def export_lerobot(arguments: argparse.Namespace) -> int:
    """vla-train export-lerobot."""
    check_folder(arguments.output, parents=True)
    from vla_training.checkpoint import pretrained_folder
    from vla_training.export_lerobot.folder import export_policy

    name, seen = export_policy(pretrained_folder(arguments.policy), arguments.data, arguments.output)
    sys.stdout.write(f"{arguments.output}: {name} for LeRobot; it sees {', '.join(seen)}\n")
    return 0


def import_lerobot(arguments: argparse.Namespace) -> int:
    """vla-train import-lerobot."""
    check_folder(arguments.output, parents=True)
    pairs = arguments.rename or []
    renames = dict(pairs)
    if len(renames) != len(pairs):
        raise BadUsageError("--rename: one observed key is given twice")
    from vla_training.import_lerobot.convert import import_policy

    given = {"sampler": arguments.sampler, "sampler_steps": arguments.steps}
    sampler = {name: value for name, value in given.items() if value is not None}
    found = import_policy(arguments.source, arguments.output, renames, sampler)
    seen = ", ".join(f"{name} of {feature.key}" for name, feature in found.config.observed.items())
    sys.stdout.write(f"{arguments.output}: {found.policy}, {found.weights:,} weights; it sees {seen}\n")
    return 0


def calibrate(arguments: argparse.Namespace) -> int:
    """vla-train calibrate."""
    check_writable(arguments.output)
    from vla_training.calibrate import write_calibration

    frames, paths = write_calibration(arguments.data, arguments.policy, arguments.output, arguments.frames)
    sys.stdout.write(f"{', '.join(map(str, paths))}: {frames} frames of held-out episodes\n")
    return 0


def prune(arguments: argparse.Namespace) -> int:
    """vla-train prune."""
    check_folder(arguments.output, parents=True)
    from vla_training.checkpoint import pretrained_folder
    from vla_training.prune import prune as run

    found = run(pretrained_folder(arguments.policy), arguments.output, arguments.share)
    zero, blocks = sum(p.zero for p in found), sum(p.blocks for p in found)
    each = ", ".join(f"{p.name} {p.zero} of {p.blocks}" for p in found)
    sys.stdout.write(f"{arguments.output}: {zero} of {blocks} blocks are zero ({each})\n")
    return 0


def mask(arguments: argparse.Namespace) -> int:
    """vla-train mask."""
    check_writable(arguments.output)
    from vla_training.mask_picture import attention_blocks, mask_picture

    name, blocks = attention_blocks(arguments.policy)
    write_whole(arguments.output, mask_picture(name, blocks).encode())
    each = ", ".join(f"{block.count} {block.name}" for block in blocks)
    sys.stdout.write(f"{arguments.output}: {name} sees {each}\n")
    return 0


def evaluate_policy(arguments: argparse.Namespace) -> int:
    """vla-train evaluate."""
    specs = _evaluated(arguments)
    engine = Engine(arguments.workers, arguments.engine)
    for path in (arguments.output, arguments.plot):
        if path:
            check_writable(path)
    if arguments.live is not None:
        return _evaluate_live(arguments, specs, engine)
    (spec,) = specs
    with progress_bar(Console(stderr=True), f"{arguments.level} on {spec.backend}", arguments.episodes) as bar:
        result = evaluate(spec, arguments.world, arguments.level, arguments.episodes, engine, bar.advance)
    if arguments.output:
        save_evaluation(arguments.output, result)
    sys.stdout.write(json.dumps(result.summary()) + "\n" if arguments.json else _sentence(result))
    return 0


def _evaluated(arguments: argparse.Namespace) -> list[RunnerSpec | ServerSpec]:
    """What to evaluate: one, or with --live several programs."""
    paths = arguments.paths
    if arguments.plot and arguments.live is None:
        raise BadUsageError("--plot draws success against the clocks of --live; give --live MHZ,MHZ,...")
    if arguments.server is not None:
        for name, given in (("the path", paths), ("--backend", arguments.backend), ("--policy", arguments.policy)):
            if given:
                raise BadUsageError(f"--server says where the policy is; leave out {name}")
        if arguments.api_key_file is None:
            return [ServerSpec(arguments.server)]
        from vla_toolchain.serve_command import read_api_key

        return [ServerSpec(arguments.server, read_api_key(arguments.api_key_file))]
    if not paths or arguments.api_key_file is not None:
        raise BadUsageError("--api-key-file is for --server" if paths else "give a path, or --server HOST:PORT")
    if len(paths) > 1 and arguments.live is None:
        raise BadUsageError(f"{len(paths)} paths are given; several are compared with --live only")
    return [RunnerSpec(arguments.backend or natural_backend(path), path, arguments.policy) for path in paths]


def _evaluate_live(arguments: argparse.Namespace, specs: Sequence[RunnerSpec | ServerSpec], engine: Engine) -> int:
    from vla_training.evaluate.live_chart import save_live_chart
    from vla_training.evaluate.sweep import save_sweep, sweep, table

    total = arguments.episodes * len(specs) * (1 + len(arguments.live))
    with progress_bar(Console(stderr=True), f"{arguments.level}, live", total) as bar:
        rows = sweep(specs, arguments.world, arguments.level, arguments.episodes, arguments.live, engine, bar.advance)
    if arguments.output:
        save_sweep(arguments.output, rows)
    if arguments.plot:
        save_live_chart(arguments.plot, rows)
    sys.stdout.write(json.dumps([row.to_json() for row in rows]) + "\n" if arguments.json else table(rows))
    return 0


def _sentence(result: Evaluation) -> str:
    low, high = result.interval
    return (
        f"{result.level} on {result.backend}: {result.successes} of {len(result.episodes)} episodes "
        f"succeeded ({100 * result.rate:.1f} %, 95 % interval {100 * low:.1f} to {100 * high:.1f}; "
        f"at most {result.max_steps} steps, {result.mean_steps:.1f} on average)\n"
    )


def compare_evaluations(arguments: argparse.Namespace) -> int:
    """vla-train compare."""
    first, second = load_evaluation(arguments.first), load_evaluation(arguments.second)
    paired = compare(first, second)
    steps = [step for step in parted(first, second) if step is not None]
    where = f", first at step {min(steps)}" if steps else ""
    sys.stdout.write(
        f"{_sentence(first)}{_sentence(second)}"
        f"only the first succeeded in {paired.only_first} episodes, only the second in {paired.only_second} "
        f"(McNemar's exact test: p = {paired.p_value:.3g})\n"
        f"their actions part in {len(steps)} of {len(first.episodes)} episodes{where}\n"
    )
    return 0


def score_waypoints(arguments: argparse.Namespace) -> int:
    """vla-train waypoints."""
    from vla_training.evaluate.waypoints import held_out_frames, save_rows, score_baselines, score_policy, table

    if arguments.output:
        check_writable(arguments.output)
    specs = [_policy_spec(path, arguments.backend, arguments.policy) for path in arguments.paths]
    frames = held_out_frames(arguments.data, arguments.split, arguments.frames)
    rows = score_baselines(frames)
    with progress_bar(Console(stderr=True), "waypoints", len(frames.numbers) * len(specs)) as bar:
        rows += [score_policy(spec, frames, bar.advance, bool(arguments.shuffle)) for spec in specs]
    if arguments.output:
        save_rows(arguments.output, rows)
    rated = rows[0].scores.rated
    sys.stdout.write(f"{arguments.data}: {len(frames.numbers)} frames of '{arguments.split}', {rated} of them rated\n")
    sys.stdout.write(table(rows))
    return 0


def risk(arguments: argparse.Namespace) -> int:
    """vla-train risk."""
    from vla_datasets.files import write_json
    from vla_training.evaluate.risk import ask, save_predictions, score, table

    if arguments.predictions and len(arguments.paths) > 1:
        raise BadUsageError("--predictions is of one path; give one")
    if not 0 < arguments.false_alarms < 1:
        raise BadUsageError(f"--false-alarms is {arguments.false_alarms}; it must be between 0 and 1")
    for path in (arguments.output, arguments.predictions):
        if path:
            check_writable(path)
    specs = [_policy_spec(path, arguments.backend, arguments.policy) for path in arguments.paths]
    rows = []
    with progress_bar(Console(stderr=True), "risk", len(specs)) as bar:
        for spec in specs:
            said = ask(spec, arguments.data, arguments.split, arguments.runs, arguments.shuffle)
            what = f", other {arguments.shuffle}" if arguments.shuffle else ""
            rows.append(score(f"{spec.path} ({spec.backend}{what})", said, arguments.false_alarms))
            if arguments.predictions:
                save_predictions(arguments.predictions, said)
            bar.advance(1)
    if arguments.output:
        write_json(arguments.output, [row.to_json() for row in rows])
    sys.stdout.write(f"{arguments.data}: {rows[0].frames} frames of '{arguments.split}'\n")
    sys.stdout.write(table(rows, arguments.false_alarms))
    return 0


def fit_risk(arguments: argparse.Namespace) -> int:
    """vla-train fit-risk."""
    check_folder(arguments.output, parents=True)
    from vla_training.checkpoint import pretrained_folder
    from vla_training.fit_risk import fit_risk as run

    source = pretrained_folder(arguments.policy)
    found = run(source, arguments.data, arguments.split, arguments.false_alarms, arguments.output)
    sys.stdout.write(
        f"{arguments.output}: high from {found.high_from:.3f} on; calibration error {found.error_before:.3f} -> "
        f"{found.error_after:.3f} on {found.frames} frames\n"
    )
    return 0


def _policy_spec(path: Path, backend: str | None, policy: str) -> RunnerSpec:
    chosen = backend or natural_backend(path)
    spec = RunnerSpec(chosen, path, "" if chosen == "float" else policy)
    spec.check()
    return spec


def demo(arguments: argparse.Namespace) -> int:
    """vla-train demo."""
    from vla_training.demo.run import DemoOptions, run_demo

    options = DemoOptions(
        config=arguments.config,
        out=arguments.out,
        episodes=arguments.episodes,
        rtl_frames=arguments.rtl_frames,
        workers=arguments.workers,
        hardware=tuple(arguments.hardware.split(",")),
    )
    run_demo(options, Console(stderr=True))
    return 0


def demo_driving(arguments: argparse.Namespace) -> int:
    """vla-train demo-driving."""
    from vla_training.demo.driving import DrivingDemoOptions, run_driving_demo

    options = DrivingDemoOptions(
        policies=arguments.policies,
        out=arguments.out,
        level=arguments.level,
        episodes=arguments.episodes,
        rtl_frames=arguments.rtl_frames,
        demonstrations=arguments.demonstrations,
        workers=arguments.workers,
        hardware=tuple(arguments.hardware.split(",")),
    )
    run_driving_demo(options, Console(stderr=True))
    return 0
