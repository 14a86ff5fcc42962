"""The `vlac` command: compile an ONNX model, and look at programs.

What each command does is in `vlac/commands.py` and `graphs_command.py`; messages and exit codes are those of
`vla_isa.command_line`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from vla_isa.command_line import CommandParser, run
from vlac.options import ACTIVATIONS, CALIBRATION_METHODS, PERCENTILE, ROUNDING_NAMES

__all__ = ["main"]

_CONFIG = "hardware config: a name of 'vlac configs', or a TOML file"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run(_parser, argv)


def _parser() -> CommandParser:
    parser = CommandParser(prog="vlac", description="Compile ONNX policies to the accelerator.")
    p = parser.add_command("compile", "ONNX model -> program", "vla_toolchain.graphs_command:compile_models")
    _compile_arguments(p)

    p = parser.add_command("info", "sizes, memory map, MACs, estimated cycles of a program", "vlac.commands:info")
    _program(p)
    p.add_argument("--json", action="store_true", help="print JSON")

    p = parser.add_command("estimate", "cycles per instruction from the performance model", "vlac.commands:estimate")
    _program(p)
    p.add_argument("--nodes", action="store_true", help="a row per node of the model, with its parts below")
    p.add_argument("--json", action="store_true", help="print JSON")

    _program(parser.add_command("disasm", "instructions of a program as text", "vlac.commands:disasm"))

    p = parser.add_command("asm", "text -> program", "vlac.commands:asm")
    p.add_argument("source", type=Path, metavar="prog.s", help="text as 'vlac disasm' prints it")
    p.add_argument("-o", "--output", type=Path, required=True, metavar="prog.bin", help="the program to write")
    p.add_argument("--config", metavar="NAME|FILE.toml", help=f"{_CONFIG} (default: that of --base, or u50)")
    p.add_argument(
        "--base", type=Path, metavar="prog.bin", help="take constants, weights, inputs and outputs from this program"
    )

    p = parser.add_command("report", "a page about a program: layers, cycles, memory", "vlac.commands:report")
    _program(p)
    p.add_argument("-o", "--output", type=Path, required=True, metavar="report.html", help="the page to write")

    p = parser.add_command("ops", "supported operators and their rules", "vlac.commands:ops")
    p.add_argument("--markdown", action="store_true", help="as the reference page")
    p.add_argument("--config", default="u50", metavar="NAME|FILE.toml", help=f"{_CONFIG}; the limits shown are its own")

    p = parser.add_command("configs", "hardware configs", "vlac.commands:configs")
    p.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _program(p: CommandParser) -> None:
    p.add_argument("program", type=Path, metavar="prog.bin", help="what 'vlac compile' wrote")


def _compile_arguments(p: CommandParser) -> None:
    p.add_argument(
        "model",
        nargs="+",
        metavar="[NAME=]MODEL.onnx",
        help="float or quantized model with static shapes; several become entry points of one program, called as their "
        "files or NAME",
    )
    p.add_argument("-o", "--output", type=Path, required=True, metavar="prog.bin", help="the program to write")
    p.add_argument("--config", default="u50", metavar="NAME|FILE.toml", help=_CONFIG)
    p.add_argument("--embed-onnx", action="store_true", help="put the model into the program, for vlarun --backend ref")
    p.add_argument(
        "--allow-host",
        action="store_true",
        help="run what the machine refuses in ONNX Runtime, between device partitions; without it that is an error",
    )
    p.add_argument(
        "--input-shape",
        action="append",
        default=[],
        metavar="NAME=1,3,320,320",
        help="sizes of an input that are dynamic in the model; repeat for other inputs",
    )
    p.add_argument("--batch", type=int, metavar="N", help="first size of all other inputs that are dynamic there")
    p.add_argument(
        "--carry",
        action="append",
        default=[],
        metavar="INPUT=OUTPUT",
        help="an input that is, in the next run, an output of this one, and stays in the data space; several times; "
        "of several models ENTRY:INPUT=ENTRY:OUTPUT",
    )
    p.add_argument("--repeat", type=int, default=1, metavar="N", help="one run of the program is N runs, state carried")
    p.add_argument("--counter", metavar="INPUT", help="the input that is the number of the run in these, 0, 1, ...")
    p.add_argument(
        "--task-masks",
        type=Path,
        metavar="FILE",
        help='JSON {"task": {"conv node": [live output blocks]}}: each task becomes an entry point, all share weights; '
        "without it what the model's metadata vlac.task_masks says",
    )
    p.add_argument(
        "--constants",
        action="append",
        default=[],
        metavar="[ENTRY=]DATA.npz",
        help="values of inputs that are known, such as an instruction: what follows from them alone is not computed; "
        "several with names become entry points of one program",
    )
    p.add_argument(
        "--rounding",
        choices=ROUNDING_NAMES,
        help="how results of a quantized model are rounded; others than nearest-even need scales of powers of two",
    )
    _quantization_arguments(p)
    _inspection_arguments(p)


def _quantization_arguments(p: CommandParser) -> None:
    q = p.add_argument_group("quantization of float models")
    q.add_argument(
        "--calib",
        action="append",
        default=[],
        metavar="DATA.npz|DIR|random[:N]",
        help="calibration data; models with Q/DQ take none; of several models ENTRY=DATA for each",
    )
    q.add_argument(
        "--calib-method",
        choices=CALIBRATION_METHODS,
        help="how the range of an activation is chosen: minmax all that was seen (default); percentile without the "
        "outermost values; entropy least divergence, for rare outliers; mse least squared error",
    )
    q.add_argument(
        "--percentile",
        type=float,
        metavar="P",
        help=f"percent of the values that the range of --calib-method percentile keeps (default: {PERCENTILE:g})",
    )
    q.add_argument(
        "--activations",
        choices=ACTIVATIONS,
        help=f"what linear layers read and hand on; int16 takes them twice the time (default: {ACTIVATIONS[0]})",
    )
    q.add_argument(
        "--equalize",
        action="store_true",
        help="cross-layer equalization before calibration, for layers whose channels differ much in size",
    )
    q.add_argument(
        "--bias-correction",
        action="store_true",
        help="take the mean error of rounded weights off the biases",
    )


def _inspection_arguments(p: CommandParser) -> None:
    group = p.add_argument_group("what to look at")
    group.add_argument("--report", type=Path, metavar="DIR", help="write a report page into this folder")
    group.add_argument(
        "--verify",
        action="store_true",
        help="compare every node with ONNX Runtime; refused when one is off by more than 1, or in more than 0.1 %%",
    )
    group.add_argument(
        "--sensitivity",
        action="store_true",
        help="print the signal-to-noise ratio of the outputs with one layer quantized at a time",
    )
    group.add_argument(
        "--dump-after",
        action="append",
        default=[],
        metavar="PASS=FILE",
        help="write the state after a pass; quantize=q.onnx writes the QDQ model",
    )
    group.add_argument("--check", action="store_true", help="verify the device graph after each pass of the compiler")
    group.add_argument("--time", action="store_true", help="print the seconds of each pass")


if __name__ == "__main__":
    sys.exit(main())
