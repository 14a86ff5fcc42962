"""The `vlac` command: compile an ONNX model, and look at programs.

Exit codes: 0 fine, 1 refused with a reason, 2 bad usage. Messages go to standard error; no tracebacks for a
user's mistake. What each command does is in `commands.py` and `compile_command.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vla_isa.errors import VlaError
from vlac import commands
from vlac.compile_command import compile_model
from vlac.import_onnx.shapes import shape_argument
from vlac.options import CALIBRATION_METHODS

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = _parser()
    try:
        args = parser.parse_args(list(sys.argv[1:] if argv is None else argv))
        code: int = args.run(args)
        return code
    except SystemExit as e:  # argparse has printed what is wrong, or the help
        return e.code if isinstance(e.code, int) else 2
    except VlaError as e:
        print(f"error: {e}", file=sys.stderr)
        return e.exit_code
    except MemoryError:
        print("error: out of memory; use a smaller model, fewer calibration samples or more memory", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vlac", description="Compile ONNX policies to the accelerator.", allow_abbrev=False
    )
    sub = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _compile_arguments(sub.add_parser("compile", help="ONNX model -> program", allow_abbrev=False))

    p = sub.add_parser("info", help="sections, memory map, MACs, estimated cycles")
    p.add_argument("program", type=Path)
    p.add_argument("--json", action="store_true", help="print JSON")
    p.set_defaults(run=commands.info)

    p = sub.add_parser("estimate", help="cycles per instruction from the performance model")
    p.add_argument("program", type=Path)
    p.add_argument("--json", action="store_true", help="print JSON")
    p.set_defaults(run=commands.estimate)

    p = sub.add_parser("disasm", help="instructions as text")
    p.add_argument("program", type=Path)
    p.set_defaults(run=commands.disasm)

    p = sub.add_parser("asm", help="text -> program")
    p.add_argument("source", type=Path)
    p.add_argument("-o", "--output", type=Path, required=True)
    p.add_argument("--config", default="u50", help="hardware config of the program (default: u50)")
    p.add_argument(
        "--base", type=Path, metavar="prog.bin", help="take constants, weights, inputs and outputs from this program"
    )
    p.set_defaults(run=commands.asm)

    p = sub.add_parser("report", help="a page about a program: layers, cycles, memory")
    p.add_argument("program", type=Path)
    p.add_argument("-o", "--output", type=Path, required=True, metavar="report.html")
    p.set_defaults(run=commands.report)

    p = sub.add_parser("ops", help="supported operators and their rules")
    p.add_argument("--markdown", action="store_true", help="as the reference page")
    p.add_argument("--config", default="u50", help="hardware config whose limits are shown (default: u50)")
    p.set_defaults(run=commands.ops)

    p = sub.add_parser("configs", help="hardware configs")
    p.add_argument("--json", action="store_true", help="print JSON")
    p.set_defaults(run=commands.configs)
    return parser


def _compile_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("model", type=Path, metavar="MODEL.onnx")
    p.add_argument("-o", "--output", type=Path, required=True, metavar="prog.bin")
    p.add_argument("--config", default="u50", metavar="NAME|FILE.toml", help="hardware config (default: u50)")
    p.add_argument("--embed-onnx", action="store_true", help="put the model into the program, for vlarun --backend ref")
    p.add_argument(
        "--allow-host",
        action="store_true",
        help="run what the machine refuses in ONNX Runtime, between device parts; without it that is an error",
    )
    p.add_argument(
        "--input-shape",
        action="append",
        default=[],
        type=_shape,
        metavar="NAME=1,3,320,320",
        help="sizes of an input that are dynamic in the model; repeat for other inputs",
    )
    p.add_argument("--batch", type=int, metavar="N", help="first size of all other inputs that are dynamic there")
    _quantization_arguments(p.add_argument_group("quantization of float models"))
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
    group.add_argument("--time", action="store_true", help="print the seconds of each pass")
    p.set_defaults(run=compile_model)


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    try:
        return shape_argument(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(str(e)) from e


def _quantization_arguments(p: argparse._ArgumentGroup) -> None:
    p.add_argument("--calib", metavar="DATA.npz|DIR|random[:N]", help="calibration data; models with Q/DQ need none")
    p.add_argument(
        "--calib-method",
        choices=CALIBRATION_METHODS,
        default="minmax",
        help="how the range of an activation is chosen: minmax all that was seen (default); percentile without the "
        "outermost values; entropy least divergence, for rare outliers; mse least squared error",
    )
    p.add_argument(
        "--percentile",
        type=float,
        default=99.999,
        metavar="P",
        help="percent of the values that the range of --calib-method percentile keeps (default: 99.999)",
    )
    p.add_argument(
        "--equalize",
        action="store_true",
        help="cross-layer equalization before calibration, for layers whose channels differ much in size",
    )
    p.add_argument(
        "--bias-correction",
        action="store_true",
        help="take the mean error of rounded weights off the biases",
    )


if __name__ == "__main__":
    sys.exit(main())
