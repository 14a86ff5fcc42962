"""Command line of training: `vla-train train | export | calibrate | evaluate | demo`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from vla_isa.errors import VlaError
from vla_training.progress import progress_bar
from vla_training.runners import BACKENDS, RunnerSpec

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `vla-train`; return 0 when fine, 1 when refused with a reason, 2 for bad usage."""
    console = Console(stderr=True)
    try:
        arguments = _parser().parse_args(argv)
        commands = {
            "train": _train,
            "export": _export,
            "calibrate": _calibrate,
            "evaluate": _evaluate,
            "demo": _demo,
        }
        return commands[arguments.command](arguments, console)
    except SystemExit as stop:  # argparse's own: 0 for --help, 2 for bad usage
        return int(stop.code or 0)
    except VlaError as error:
        console.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        return error.exit_code
    except KeyboardInterrupt:
        console.print("stopped; run the same command again to go on.")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vla-train", description="Train, export and evaluate robot policies.")
    commands = parser.add_subparsers(dest="command", required=True)
    cores = os.cpu_count() or 1

    train = commands.add_parser("train", help="behaviour cloning; goes on from the last checkpoint in --out")
    train.add_argument("--config", required=True, help="name (goto_obj, goto_red_ball, ...) or TOML file")
    train.add_argument("--data", type=Path, required=True, help="data set from vla-collect")
    train.add_argument("--out", type=Path, required=True, help="folder of the run")
    train.add_argument("--steps", type=int, help="instead of the config's")
    train.add_argument("--seed", type=int, help="instead of the config's")

    export = commands.add_parser("export", help="saved policy -> ONNX, checked against torch")
    export.add_argument("--policy", type=Path, required=True, help="folder of the run or of a saved policy")
    export.add_argument("-o", "--output", type=Path, required=True, help="model.onnx")

    calibrate = commands.add_parser("calibrate", help="frames of held-out episodes -> .npz for vlac")
    calibrate.add_argument("--data", type=Path, required=True)
    calibrate.add_argument("--frames", type=int, default=256)
    calibrate.add_argument("-o", "--output", type=Path, required=True, help="calib.npz")

    evaluate = commands.add_parser("evaluate", help="closed-loop success on fixed seeds")
    evaluate.add_argument("path", type=Path, help="run folder (float), model.onnx (onnx) or prog.bin (sim, rtl)")
    evaluate.add_argument("--backend", choices=BACKENDS, default="sim")
    evaluate.add_argument("--level", required=True)
    evaluate.add_argument("--episodes", type=int, default=200)
    evaluate.add_argument("--workers", type=int, default=cores)
    evaluate.add_argument("-o", "--output", type=Path, help="write every episode as JSON")
    evaluate.add_argument("--json", action="store_true", help="print the summary as JSON")

    demo = commands.add_parser("demo", help="collect, train, export, compile, evaluate and report, in one go")
    demo.add_argument("--config", default="goto_obj")
    demo.add_argument("--out", type=Path, default=Path("runs/demo"))
    demo.add_argument("--episodes", type=int, default=200, help="evaluation episodes")
    demo.add_argument("--rtl-frames", type=int, default=20)
    demo.add_argument("--workers", type=int, default=cores)
    return parser


def _train(arguments: argparse.Namespace, console: Console) -> int:
    from vla_training.config import load_config
    from vla_training.train import train

    overrides = {key: getattr(arguments, key) for key in ("steps", "seed") if getattr(arguments, key) is not None}
    config = load_config(arguments.config, overrides)
    with progress_bar(console, f"training {config.level}", config.steps) as bar:

        def show(step: int, values: Mapping[str, float]) -> None:
            bar.move_to(step, f"loss {values['loss']:.4f}")

        folder = train(config, arguments.data, arguments.out, progress=show)
    sys.stdout.write(f"{folder}\n")
    return 0


def _export(arguments: argparse.Namespace, console: Console) -> int:
    from vla_models.export_onnx import export_onnx
    from vla_models.policy import load_policy
    from vla_training.checkpoint import pretrained_folder

    difference = export_onnx(load_policy(pretrained_folder(arguments.policy)), arguments.output)
    sys.stdout.write(f"{arguments.output}: ONNX Runtime differs from torch by at most {difference:.2g}\n")
    return 0


def _calibrate(arguments: argparse.Namespace, console: Console) -> int:
    from vla_training.calibrate import write_calibration

    frames = write_calibration(arguments.data, arguments.output, arguments.frames)
    sys.stdout.write(f"{arguments.output}: {frames} frames of held-out episodes\n")
    return 0


def _evaluate(arguments: argparse.Namespace, console: Console) -> int:
    from vla_training.evaluate import evaluate, save_evaluation

    spec = RunnerSpec(arguments.backend, arguments.path)
    with progress_bar(console, f"{arguments.level} on {arguments.backend}", arguments.episodes) as bar:
        result = evaluate(spec, arguments.level, arguments.episodes, arguments.workers, bar.advance)
    if arguments.output:
        save_evaluation(arguments.output, result)
    if arguments.json:
        sys.stdout.write(json.dumps(result.summary()) + "\n")
        return 0
    low, high = result.interval
    sys.stdout.write(
        f"{result.level} on {result.backend}: {result.successes} of {len(result.episodes)} episodes "
        f"succeeded ({100 * result.rate:.1f} %, 95 % interval {100 * low:.1f} to {100 * high:.1f}; "
        f"at most {result.max_steps} steps, {result.mean_steps:.1f} on average)\n"
    )
    return 0


def _demo(arguments: argparse.Namespace, console: Console) -> int:
    from vla_training.demo import DemoOptions, run_demo

    options = DemoOptions(
        config=arguments.config,
        out=arguments.out,
        episodes=arguments.episodes,
        rtl_frames=arguments.rtl_frames,
        workers=max(1, arguments.workers),
    )
    run_demo(options, console)
    return 0
