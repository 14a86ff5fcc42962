"""Command line of training: `vla-train train`, `dagger`, `export`, `evaluate`, the demos and more.

What the commands do is in `commands.py`; messages and exit codes are those of `vla_isa.command_line`.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from vla_datasets.engine import ENGINES
from vla_datasets.worlds.registry import WORLDS
from vla_isa.command_line import CommandParser, positive, run
from vla_training.evaluate.backends import BACKENDS

__all__ = ["main"]

_STOPPED = "stopped; the same command goes on from what is done (training: from the last checkpoint, if there is one)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run `vla-train`; returns the exit code."""
    return run(_parser, argv, extra="train", stopped=_STOPPED)


def _parser() -> CommandParser:
    parser = CommandParser(prog="vla-train", description="Train, export and evaluate robot policies.")

    train = parser.add_command(
        "train", "learn from demonstrations; goes on from the last checkpoint in --out", "vla_training.commands:train"
    )
    train.epilog = "Every key of a config is an option too, such as --steps 5; --options lists them."
    train.set_defaults(rest=())
    train.add_argument("--config", required=True, help="name (goto_obj, goto_red_ball, ...) or TOML file")
    train.add_argument("--data", type=Path, help="data set from vla-collect")
    train.add_argument("--out", type=Path, help="folder of the run")
    train.add_argument("--options", action="store_true", help="list the keys of --config, as options, and their values")

    embed = parser.add_command(
        "embed-text", "instructions -> a folder of their embeddings, once", "vla_training.commands:embed_text"
    )
    embed.add_argument("--encoder", type=Path, required=True, help="folder: config.json, *.safetensors, a tokenizer")
    embed.add_argument("--text", nargs="+", default=[], help="instructions")
    embed.add_argument("--data", type=Path, help="data set from vla-collect, whose instructions are embedded too")
    embed.add_argument("--out", type=Path, required=True, help="folder; sentences that it has stay")

    _dagger_arguments(
        parser.add_command(
            "dagger", "play, label and learn, in rounds; goes on in --out", "vla_training.commands:dagger"
        )
    )

    _policy_commands(parser)

    evaluate = parser.add_command(
        "evaluate", "closed-loop success on fixed seeds", "vla_training.commands:evaluate_policy"
    )
    _evaluate_arguments(evaluate)

    _waypoint_arguments(
        parser.add_command(
            "waypoints", "ADE and RFS on held-out frames, beside baselines", "vla_training.commands:score_waypoints"
        )
    )

    _risk_arguments(
        parser.add_command("risk", "recall, calibration and confusions on held-out runs", "vla_training.commands:risk")
    )

    compare = parser.add_command(
        "compare", "two evaluations episode by episode", "vla_training.commands:compare_evaluations"
    )
    compare.add_argument("first", type=Path, help="FILE.json of vla-train evaluate --output")
    compare.add_argument("second", type=Path, help="another one, on the same episodes")

    demo = parser.add_command(
        "demo", "collect, train, export, compile, evaluate and report, in one go", "vla_training.commands:demo"
    )
    _demo_arguments(demo)
    driving = parser.add_command(
        "demo-driving", "the shipped drivers, from checkpoint to RTL and town", "vla_training.commands:demo_driving"
    )
    _demo_driving_arguments(driving)
    return parser


def _policy_commands(parser: CommandParser) -> None:
    """What is done with a saved policy."""
    _export_arguments(
        parser.add_command("export", "saved policy -> ONNX, checked against torch", "vla_training.commands:export")
    )

    _import_arguments(
        parser.add_command(
            "import-lerobot",
            "a policy that LeRobot saved -> a saved policy of ours",
            "vla_training.commands:import_lerobot",
        )
    )

    lerobot = parser.add_command(
        "export-lerobot", "saved policy -> a folder that LeRobot loads", "vla_training.commands:export_lerobot"
    )
    lerobot.add_argument("--policy", type=Path, required=True, help="folder of the run or of a saved policy")
    lerobot.add_argument("--data", type=Path, required=True, help="data set as it was trained on: shapes of its frames")
    lerobot.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="the folder to write")

    calibrate = parser.add_command(
        "calibrate", "frames of held-out episodes -> .npz for vlac", "vla_training.commands:calibrate"
    )
    calibrate.add_argument("--data", type=Path, required=True, help="data set from vla-collect")
    calibrate.add_argument("--policy", type=Path, required=True, help="folder of the run or of a saved policy")
    calibrate.add_argument("--frames", type=int, default=256, help="how many, drawn from the split 'val'")
    calibrate.add_argument("-o", "--output", type=Path, required=True, metavar="calib.npz", help="the file to write")

    prune = parser.add_command(
        "prune", "set the weakest blocks of a policy's convolutions to zero", "vla_training.commands:prune"
    )
    prune.add_argument("--policy", type=Path, required=True, help="folder of the run or of a saved policy")
    prune.add_argument("--share", type=float, required=True, help="of the blocks of 16 x 16 channels, such as 0.4")
    prune.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="the saved policy to write")

    fit = parser.add_command(
        "fit-risk", "from when on a risk is high, and how sure to be", "vla_training.commands:fit_risk"
    )
    fit.add_argument("--policy", type=Path, required=True, help="folder of the run or of a saved policy")
    fit.add_argument("--data", type=Path, required=True, help="data set from vla-collect rover")
    fit.add_argument("--split", default="val", help="of the data set; not what the policy learnt from")
    fit.add_argument("--false-alarms", type=float, default=0.1, help="share that may be called high and is not")
    fit.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="the saved policy to write")

    mask = parser.add_command("mask", "draw which tokens of a policy see which, by type", "vla_training.commands:mask")
    mask.add_argument("policy", help="name of a policy, or folder of a run or of a saved one")
    mask.add_argument("-o", "--output", type=Path, required=True, metavar="mask.svg", help="the picture to write")


def _export_arguments(export: CommandParser) -> None:
    export.add_argument("--policy", type=Path, required=True, help="folder of the run or of a saved policy")
    export.add_argument("-o", "--output", type=Path, required=True, metavar="model.onnx", help="the model to write")
    export.add_argument(
        "--circuits",
        action="store_true",
        help="of a policy with gates: leave them out of the graph; vlac makes an entry point of each setting",
    )


def _import_arguments(p: CommandParser) -> None:
    p.add_argument("source", type=Path, help="folder of a policy of type act or diffusion")
    p.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="the saved policy to write")
    p.add_argument(
        "--rename",
        type=_renamed,
        action="append",
        metavar="KEY=POLICY'S",
        help="the data set's or world's name of what the policy observes by the second one; may be given several times",
    )
    p.add_argument("--sampler", choices=("DDIM", "DDPM"), help="of a diffusion policy (default: its own)")
    p.add_argument("--steps", type=positive, help="of the sampler (default: the policy's)")


def _dagger_arguments(p: CommandParser) -> None:
    p.epilog = "Every key of a config is an option too, as of vla-train train: each round trains so many --steps."
    p.set_defaults(rest=())
    p.add_argument("--config", required=True, help="of each round's training: a name, or a TOML file")
    p.add_argument("--data", type=Path, required=True, help="demonstrations, from vla-collect")
    p.add_argument("--out", type=Path, required=True, help="folder of all rounds")
    p.add_argument("--policy", type=Path, help="run or saved policy that plays first; default: train one on --data")
    p.add_argument("--rounds", type=int, default=3, help="how often it plays and learns")
    p.add_argument("--rollouts", type=int, default=1000, help="episodes of a round")
    p.add_argument("--most-steps", type=int, default=16, help="of an episode")
    p.add_argument("--beta", type=float, default=0.5, help="in round k the expert acts with probability beta^k")
    p.add_argument("--workers", type=positive, default=os.cpu_count() or 1, help="processes that play")
    p.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="processes here, or a Ray cluster")


def _demo_driving_arguments(p: CommandParser) -> None:
    p.add_argument("--policies", type=Path, default=Path("examples/driving"), help="folder of the drivers")
    p.add_argument("--out", type=Path, default=Path("runs/demo-driving"), help="folder for everything that is made")
    p.add_argument("--level", default="clear", help="of the driving world, for example night+traffic")
    p.add_argument("--episodes", type=int, default=12, help="routes that each driver drives, in float and int8")
    p.add_argument("--rtl-frames", type=int, default=6, help="frames of each driver that run on the Verilog machine")
    p.add_argument("--demonstrations", type=int, default=8, help="collected for calibration, two or more")
    p.add_argument(
        "--hardware", default="u50,tiny", metavar="NAMES", help="hardware configs; the first one's programs drive"
    )
    p.add_argument("--workers", type=positive, default=os.cpu_count() or 1, help="processes")


def _evaluate_arguments(p: CommandParser) -> None:
    p.add_argument(
        "paths",
        type=Path,
        nargs="*",
        metavar="PATH",
        help="run folder (float), model.onnx (onnx) or prog.bin (sim, rtl); with --live several programs",
    )
    p.add_argument(
        "--backend", choices=BACKENDS, help="default: float for a folder, onnx for an ONNX file, sim for a program"
    )
    p.add_argument("--policy", default="", help="run or saved policy of the file, or a name that says enough")
    p.add_argument("--server", metavar="HOST:PORT", help="'vlarun serve' computes, or another server of openpi's")
    p.add_argument("--api-key-file", type=Path, metavar="FILE", help="the key that the server wants")
    names, first = [w.name for w in WORLDS], WORLDS[0]
    p.add_argument("--world", choices=names, metavar="WORLD", default=first.name, help=f"one of {', '.join(names)}")
    p.add_argument("--level", required=True, help=f"of the world, for example {', '.join(first.levels)}")
    p.add_argument("--episodes", type=int, default=200, help="how many episodes are played")
    p.add_argument("--workers", type=positive, default=os.cpu_count() or 1, help="processes")
    p.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="processes here, or a Ray cluster")
    p.add_argument(
        "--live",
        type=_clocks,
        metavar="MHZ[,MHZ...]",
        help="let the world move on while the device computes at this clock, or at each of several",
    )
    p.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw success against the clocks of --live")
    p.add_argument("-o", "--output", type=Path, metavar="FILE.json", help="write every episode as JSON")
    p.add_argument("--json", action="store_true", help="print the summary as JSON")


def _waypoint_arguments(p: CommandParser) -> None:
    p.add_argument(
        "paths",
        type=Path,
        nargs="*",
        metavar="PATH",
        help="runs (float), model.onnx (onnx), prog.bin (sim, rtl)",
    )
    p.add_argument("--data", type=Path, required=True, help="data set of 'vla-collect import' from Waymo's records")
    p.add_argument("--split", default="val", help="of the data set")
    p.add_argument("--frames", type=int, default=0, help="so many, evenly spread; default: all")
    p.add_argument("--shuffle", choices=("pictures",), default="", help="give each segment another one's")
    p.add_argument("--backend", choices=BACKENDS, help="of all paths; default: float for a folder, sim for a program")
    p.add_argument("--policy", default="", help="run or saved policy of the files: their preprocessor")
    p.add_argument("-o", "--output", type=Path, metavar="FILE.json", help="write the table as JSON")


def _risk_arguments(p: CommandParser) -> None:
    p.add_argument(
        "paths", type=Path, nargs="+", metavar="PATH", help="runs (float), model.onnx (onnx), prog.bin (sim, rtl)"
    )
    p.add_argument("--data", type=Path, required=True, help="data set from vla-collect rover")
    p.add_argument("--split", default="val", help="of the data set")
    p.add_argument("--runs", type=int, default=0, help="the first so many of it; default: all")
    p.add_argument("--shuffle", choices=("video", "telemetry"), default="", help="give each run another run's")
    p.add_argument("--false-alarms", type=float, default=0.1, help="at which recall is given too")
    p.add_argument("--backend", choices=BACKENDS, help="of all paths; default: float for a folder, sim for a program")
    p.add_argument("--policy", default="", help="run or saved policy of the files: their preprocessor")
    p.add_argument("-o", "--output", type=Path, metavar="FILE.json", help="write the table and confusions as JSON")
    p.add_argument("--predictions", type=Path, metavar="FILE.json", help="write what the one path says of each frame")


def _demo_arguments(p: CommandParser) -> None:
    p.add_argument("--config", default="goto_obj", help="training config: a name, or a TOML file")
    p.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder for everything that is made")
    p.add_argument("--episodes", type=int, default=200, help="evaluation episodes")
    p.add_argument("--rtl-frames", type=int, default=20, help="at least so many frames run on the Verilog machine")
    p.add_argument(
        "--hardware", default="u50,tiny", metavar="NAMES", help="hardware configs; the first one's program is evaluated"
    )
    p.add_argument("--workers", type=positive, default=os.cpu_count() or 1, help="processes")


def _renamed(text: str) -> tuple[str, str]:
    """An observed key, and the policy's name of it."""
    observed, _, wanted = text.partition("=")
    if not observed or not wanted:
        raise argparse.ArgumentTypeError(f"'{text}' is no OBSERVED=POLICY'S, two keys of an observation")
    return observed, wanted


def _clocks(text: str) -> tuple[float, ...]:
    """Different clocks in MHz, between commas."""
    try:
        found = tuple(float(each) for each in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(0 < clock < math.inf for clock in found) or len(set(found)) != len(found):
        raise argparse.ArgumentTypeError(f"'{text}' is no list of different clocks in MHz, such as 300,100,30")
    return found


if __name__ == "__main__":
    sys.exit(main())
