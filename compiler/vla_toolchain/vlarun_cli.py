"""The `vlarun` command: run a program, serve it, compare two backends, check a backend's conformance.

`vlarun PROGRAM ...` is short for `vlarun run PROGRAM ...`. What the commands do is in `vlarun/commands.py`,
`serve_command.py` and `conformance/command.py`; messages and exit codes are those of `vla_isa.command_line`.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from vla_isa.command_line import CommandParser, not_negative, positive, run

__all__ = ["main"]

_COMMANDS = ("run", "serve", "compare", "conformance")
_PROGRAM = "what 'vlac compile' wrote"
_INPUT = "arrays by ONNX input name"
_ENTRY = "entry point (default: the first); of tasks also several, united: left+right"
_CONFIG = "refuse a program for another hardware config"
_RAW_INPUT = "inputs are the device's int8, by its own input names"
_MACHINE = "(vla_api.h, see 'vlarun conformance --show-header')"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] not in (*_COMMANDS, "--version"):
        arguments.insert(0, "run")
    code = run(_parser, arguments, extra="serve")
    if code == 2 and arguments and Path(arguments[0]).is_file():
        name = arguments[0]
        print(f"A program file called '{name}' is run with 'vlarun ./{name}'.", file=sys.stderr)
    return code


def _parser() -> CommandParser:
    parser = CommandParser(prog="vlarun", description="Run programs of the accelerator.")
    parser.epilog = "'vlarun prog.bin ...' is short for 'vlarun run prog.bin ...'."
    p = parser.add_command("run", "run a program", "vlarun.commands:run", usage="vlarun PROGRAM --input IN.npz ...")
    p.epilog = "Also: vlarun serve, vlarun compare, vlarun conformance (each with --help)."
    _run_arguments(p)
    _serve_arguments(
        parser.add_command(
            "serve",
            "answer observations over a websocket, by openpi's protocol",
            "vla_toolchain.serve_command:serve",
        )
    )
    _compare_arguments(
        parser.add_command(
            "compare", "run two backends on one input and report the first difference", "vlarun.commands:compare"
        )
    )
    _conformance_arguments(
        parser.add_command(
            "conformance",
            "check that a backend does what the instruction table says",
            "vla_toolchain.conformance.command:conformance",
        )
    )
    return parser


def _run_arguments(p: CommandParser) -> None:
    p.add_argument("program", type=Path, metavar="PROGRAM", help=_PROGRAM)
    p.add_argument("--input", type=Path, required=True, metavar="IN.npz", help=_INPUT)
    p.add_argument("--output", type=Path, metavar="OUT.npz", help="write the outputs here (default: print them)")
    p.add_argument("--backend", default="sim", metavar="sim|rtl|ref", help="what runs it")
    p.add_argument("--entry", metavar="NAME[+NAME]", help=_ENTRY)
    p.add_argument("--config", metavar="NAME", help=_CONFIG)
    p.add_argument("--onnx", type=Path, metavar="MODEL.onnx", help="the model that --backend ref runs")
    p.add_argument("--library", type=Path, metavar="MACHINE.so", help=f"your machine for --backend rtl {_MACHINE}")
    p.add_argument("--check", action="store_true", help="run the hazard checker first")
    p.add_argument("--raw", action="store_true", help="outputs as the device's int8")
    p.add_argument("--raw-input", action="store_true", help=_RAW_INPUT)
    p.add_argument("--stats", type=Path, metavar="FILE.json", help="write cycles, traffic and instructions here")
    p.add_argument(
        "--trace",
        type=Path,
        metavar="FILE.json",
        help="write a Chrome trace of the queues here, for ui.perfetto.dev or chrome://tracing",
    )
    p.add_argument("--json", action="store_true", help="print the statistics as JSON")


def _serve_arguments(p: CommandParser) -> None:
    p.add_argument("program", type=Path, metavar="PROGRAM", help=_PROGRAM)
    p.add_argument("--policy", metavar="FOLDER|NAME", help="whose preprocessor clients' observations go through")
    p.add_argument("--backend", default="sim", metavar="sim|rtl|ref", help="what runs it")
    p.add_argument("--entry", metavar="NAME[+NAME]", help=_ENTRY)
    p.add_argument("--config", metavar="NAME", help=_CONFIG)
    p.add_argument("--onnx", type=Path, metavar="MODEL.onnx", help="the model that --backend ref runs")
    p.add_argument("--library", type=Path, metavar="MACHINE.so", help=f"your machine for --backend rtl {_MACHINE}")
    p.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen; 0.0.0.0 is everywhere")
    p.add_argument("--port", type=_port, default=8000, metavar="N", help="0 takes a free one")
    p.add_argument("--tcp", type=_port, metavar="N", help="port of the framed TCP protocol too; 0 takes a free one")
    p.add_argument("--api-key-file", type=Path, metavar="FILE", help="the key that clients must send")
    p.add_argument("--batch", type=positive, default=8, metavar="N", help="requests of one run, at most")
    p.add_argument("--queue", type=positive, default=64, metavar="N", help="requests that wait, at most")
    p.add_argument("--clients", type=positive, default=64, metavar="N", help="connections, at most")
    p.add_argument("--timeout", type=_seconds, default=30.0, metavar="S", help="for a reply, in seconds")
    p.add_argument("--idle", type=_seconds, default=600.0, metavar="S", help="a silent client is sent away after it")
    p.add_argument("--max-message", type=positive, default=16, metavar="MIB", help="largest message that is read")


def _port(text: str) -> int:
    value = not_negative(text)
    if value > 65535:
        raise argparse.ArgumentTypeError(f"{value} is more than 65535")
    return value


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of seconds above 0")
    return value


def _compare_arguments(p: CommandParser) -> None:
    p.add_argument("program", type=Path, metavar="PROGRAM", help=_PROGRAM)
    p.add_argument("--input", type=Path, required=True, metavar="IN.npz", help=_INPUT)
    p.add_argument("--raw-input", action="store_true", help=_RAW_INPUT)
    p.add_argument("--backends", default="sim,rtl", metavar="A,B", help="which two of sim, rtl, ref")
    p.add_argument("--entry", metavar="NAME[+NAME]", help=_ENTRY)
    p.add_argument("--config", metavar="NAME", help=_CONFIG)
    p.add_argument("--onnx", type=Path, metavar="MODEL.onnx", help="the model that ref runs")
    p.add_argument("--library", type=Path, metavar="MACHINE.so", help=f"your machine as rtl {_MACHINE}")
    p.add_argument("--json", action="store_true", help="print the result as JSON")


def _conformance_arguments(p: CommandParser) -> None:
    p.add_argument("--backend", default="sim", metavar="sim|rtl", help="what is checked")
    p.add_argument("--config", default="u50", metavar="NAME", help="hardware config")
    p.add_argument("--library", metavar="MACHINE.so", default="", help="your machine for --backend rtl (vla_api.h)")
    p.add_argument("--show-header", action="store_true", help="print where vla_api.h is, and no more")
    p.add_argument("--suite", default="T0,T1,T2,T3,T4", help="which of T0,T1,T2,T3,T4")
    p.add_argument("--stalls", choices=("off", "random"), default="off", help="memory stalls (rtl)")
    p.add_argument("--programs", type=positive, metavar="N", help="random programs of T2 (default: 50)")
    p.add_argument("--seed", type=not_negative, default=0, help="seed of T2 and of the stalls")
    p.add_argument("--match", default="", metavar="TEXT", help="only cases whose id contains TEXT")
    p.add_argument("--checked", action="store_true", help="rtl with its assertions on")
    p.add_argument("--json", type=Path, metavar="FILE", help="write every case's result here")


if __name__ == "__main__":
    raise SystemExit(main())
