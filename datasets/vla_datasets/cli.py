"""Command line of the collectors: `vla-collect babyai --level GoToObj --episodes 1500 --out DIR`.

What the commands do is in `commands.py`; messages and exit codes are those of `vla_isa.command_line`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from vla_isa.command_line import CommandParser, positive, run

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `vla-collect`; returns the exit code."""
    return run(_parser, argv, extra="envs", stopped="stopped; the same command goes on from the episodes that are done")


def _parser() -> CommandParser:
    parser = CommandParser(prog="vla-collect", description="Collect demonstrations.")
    babyai = parser.add_command("babyai", "BabyAI levels, played by BabyAIBot", "vla_datasets.commands:babyai")
    babyai.add_argument("--level", default="GoToObj", help="for example GoToObj, GoToRedBall, GoToLocal")
    babyai.add_argument("--episodes", type=int, default=1500, help="how many demonstrations")
    babyai.add_argument("--out", type=Path, required=True, help="folder of the data set")
    babyai.add_argument("--seed", type=int, default=0, help="another seed gives other episodes")
    babyai.add_argument("--validation-fraction", type=float, default=0.1, help="share of the episodes that is held out")
    babyai.add_argument("--workers", type=positive, default=os.cpu_count() or 1, help="processes")
    babyai.add_argument("--shard", default="0/1", help="i/n: collect only every n-th block, from the i-th")
    return parser


if __name__ == "__main__":
    sys.exit(main())
