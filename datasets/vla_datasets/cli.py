"""Command line of the collectors: `vla-collect WORLD --level LEVEL --episodes 1500 --out DIR`.

What the commands do is in `commands.py`; messages and exit codes are those of `vla_isa.command_line`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from vla_datasets.engine import ENGINES
from vla_datasets.worlds.registry import WORLDS
from vla_isa.command_line import CommandParser, not_negative, positive, run

__all__ = ["main"]

_BASELINES = ("constant_velocity", "constant_turn")  # of `waymo.baselines`, which takes numpy
_ROBOTS = ("aloha", "agilex")  # of `unified.robots`, which takes numpy
_STOPPED = "stopped; the same command goes on from the episodes that are done (an import: from the start)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run `vla-collect`; returns the exit code."""
    return run(_parser, argv, extra="envs", stopped=_STOPPED)


def _parser() -> CommandParser:
    parser = CommandParser(prog="vla-collect", description="Collect demonstrations.")
    for spec in WORLDS:
        world = parser.add_command(spec.name, spec.text, "vla_datasets.commands:collect_world")
        world.add_argument("--level", default=spec.levels[0], help=f"for example {', '.join(spec.levels)}")
        world.add_argument("--episodes", type=int, default=1500, help="how many demonstrations")
        world.add_argument("--out", type=Path, required=True, help="folder of the data set")
        world.add_argument("--seed", type=int, default=0, help="another seed gives other episodes")
        world.add_argument(
            "--validation-fraction", type=float, default=0.1, help="share of the episodes that is held out"
        )
        world.add_argument("--workers", type=positive, default=os.cpu_count() or 1, help="processes")
        world.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="processes here, or a Ray cluster")
        world.add_argument("--shard", default="0/1", help="i/n: collect only every n-th block, from the i-th")
    _add_import(parser)
    table = parser.add_command(
        "csv", "a driving set as the earlier CARLA system's CSV and PNGs", "vla_datasets.commands:write_csv"
    )
    table.add_argument("data", type=Path, help="folder of the data set")
    table.add_argument("--out", type=Path, required=True, help="new folder of data.csv and images/")
    table.add_argument("--by", choices=("command", "steering"), default="command", help="how candidates are chosen")
    table.add_argument("--seed", type=not_negative, default=0, help="another seed chooses others")
    _add_two_arms(parser)
    _add_waymo(parser)
    return parser


def _add_import(parser: CommandParser) -> None:
    recorded = parser.add_command(
        "import",
        "what others recorded: Push-T, Waymo's TFRecords, ALOHA's HDF5, a rover's videos",
        "vla_datasets.commands:import_data",
    )
    recorded.add_argument(
        "source",
        type=Path,
        help="folder of a LeRobotDataset (v2.0, v2.1, v3.0) of Push-T; Diffusion Policy's .zarr, a folder or a .zip; "
        "a folder of Waymo's end-to-end TFRecords; one of ALOHA's episode_N.hdf5, or of folders of them; or one of a "
        "rover's videos with samples.json",
    )
    recorded.add_argument("--out", type=Path, required=True, help="new folder of the data set")
    recorded.add_argument(
        "--world",
        default="",
        choices=[spec.name for spec in WORLDS if spec.imported],
        help="Push-T: whose data it becomes (default: pusht where the block's corners are known, else pusht_pixels)",
    )
    recorded.add_argument("--cameras", default="", help="Waymo: all, or names such as front,rear (default: front)")
    recorded.add_argument(
        "--size", default="", help="Waymo, ALOHA, rover: resize pictures to width x height, such as 384x384"
    )
    recorded.add_argument("--validation-fraction", type=float, default=0.1, help="share of the episodes held out")
    aloha = recorded.add_argument_group("ALOHA's episodes", "what the files do not say")
    aloha.add_argument("--robot", choices=_ROBOTS, default="aloha", help="how its grippers are counted")
    aloha.add_argument("--fps", type=positive, default=50, help="frames a second; RDT's have 25")
    aloha.add_argument("--channels", choices=("rgb", "bgr"), default="rgb", help="of the decoded pictures")
    aloha.add_argument("--task", default="", help="what is done, in words, where no file beside the episodes says it")
    aloha.add_argument(
        "--paraphrases", action="store_true", help="draw a sentence of RDT's file for each episode, not its instruction"
    )


def _add_two_arms(parser: CommandParser) -> None:
    files = parser.add_command("hdf5", "a set of two arms as ALOHA's HDF5", "vla_datasets.commands:write_hdf5")
    files.add_argument("data", type=Path, help="folder of the data set")
    files.add_argument("--out", type=Path, required=True, help="new folder of episode_N.hdf5")
    files.add_argument("--robot", choices=_ROBOTS, default="aloha", help="how the files count grippers")
    files.add_argument("--raw", action="store_true", help="pictures as they are, not as JPEG")
    told = parser.add_command(
        "statistics", "what RDT is told of data sets, four JSON files", "vla_datasets.commands:write_statistics"
    )
    told.add_argument("data", type=Path, nargs="+", help="folders of the data sets")
    told.add_argument("--out", type=Path, required=True, help="folder of the files")
    told.add_argument(
        "--robot", choices=_ROBOTS, default="", help="whose values they hold (default: places that a set names itself)"
    )
    told.add_argument(
        "--weights", type=float, nargs="+", metavar="W", help="how often each is drawn from (default: each 100)"
    )


def _add_waymo(parser: CommandParser) -> None:
    driven = parser.add_command(
        "waymo",
        "write TFRecords of Waymo's end-to-end form, as the driving world's expert drives",
        "vla_datasets.waymo.commands:write_set",
    )
    driven.add_argument("--level", default="clear+traffic", help="of the driving world; see vla-collect driving")
    driven.add_argument("--segments", type=positive, default=100, help="drives; the last ones are val, and rated")
    driven.add_argument("--frames", type=positive, default=10, help="of each drive")
    driven.add_argument("--cameras", default="all", help="all, or names such as front,front_left")
    driven.add_argument("--size", default="384x256", help="pixels of a picture, width x height")
    driven.add_argument("--out", type=Path, required=True, help="folder of the set")
    driven.add_argument("--seed", type=not_negative, default=0, help="another seed gives other drives")
    driven.add_argument("--validation-fraction", type=float, default=0.1, help="share of the segments that is val")
    driven.add_argument("--workers", type=positive, default=os.cpu_count() or 1, help="processes")
    driven.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="processes here, or a Ray cluster")
    scored = parser.add_command(
        "waymo-score",
        "score predictions on Waymo's end-to-end set: ADE and the Rater Feedback Score",
        "vla_datasets.waymo.commands:score_set",
    )
    scored.add_argument("source", type=Path, help="folder of TFRecords, or one of them")
    what = scored.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--baseline", metavar="NAME", choices=_BASELINES, help=f"{' or '.join(_BASELINES)}, from the past alone"
    )
    what.add_argument("--predictions", type=Path, help="JSON: an object of frame name -> 20 pairs of x and y")
    scored.add_argument("--split", default="", help="of these segments only, for example val (default: all)")
    scored.add_argument("--names", type=Path, help="file of frame names, one a line: of these only")
    scored.add_argument("--submission", type=Path, help="write the predictions as a submission to the challenge")
    scored.add_argument("--about", type=Path, help="TOML file that says what a submission must of its method")


if __name__ == "__main__":
    sys.exit(main())
