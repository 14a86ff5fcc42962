"""`vlac compile` of one model or of several, which become entry points of one program.

Not here: what one model's compile shows (`compile_command.py`), one model with several sets of constants
(`missions_command.py`), how graphs are compiled together (`vlac/graphs.py`).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from vla_isa.errors import BadUsageError
from vla_isa.files import check_folder, check_writable
from vla_isa.hardware import load
from vla_toolchain.compile_command import StageProgress, check_percentile, check_rounding, compile_model, write_report
from vla_toolchain.constants_argument import mission_files
from vla_toolchain.entries_text import write_entries
from vla_toolchain.missions_command import compile_with_missions
from vla_toolchain.verify.report import loss_report, print_verifications
from vlac.graphs import compile_graphs
from vlac.model.policy_graphs import GRAPH, read_said, said_carries
from vlac.options import ACTIVATIONS, PERCENTILE, CompileOptions
from vlac.report.html import report_page

__all__ = ["compile_models"]

_ALONE = (  # options that say something of one model
    "embed_onnx",
    "allow_host",
    "input_shape",
    "counter",
    "task_masks",
    "constants",
    "sensitivity",
    "dump_after",
)


def compile_models(args: argparse.Namespace) -> int:
    """vlac compile."""
    if len(args.model) > 1:
        return _compile_graphs(args)
    if len(args.calib) > 1:
        raise BadUsageError(f"--calib is given {len(args.calib)} times for one model; give it once")
    args.model = Path(args.model[0])
    args.calib = args.calib[0] if args.calib else None
    missions = mission_files(args.constants)
    if missions:
        return compile_with_missions(args, missions)
    args.constants = Path(args.constants[0]) if args.constants else None
    return compile_model(args)


def _compile_graphs(args: argparse.Namespace) -> int:
    found = [f"--{name.replace('_', '-')}" for name in _ALONE if getattr(args, name)]
    found += ["--repeat"] if args.repeat != 1 else []
    if found:
        raise BadUsageError(f"{', '.join(found)} is for one model; compile that graph alone to look at it")
    hw, graphs = load(args.config), _graphs(args.model)
    check_percentile(args)
    check_rounding(args)
    check_writable(args.output)
    if args.report:
        check_folder(args.report)
    for name, path in graphs.items():
        if path.resolve() == args.output.resolve():
            raise BadUsageError(f"output '{args.output}' is also the model of '{name}'; give each its own place")
    options = CompileOptions(
        calibration_method=args.calib_method or "minmax",
        percentile=PERCENTILE if args.percentile is None else args.percentile,
        activations=args.activations or ACTIVATIONS[0],
        equalize=args.equalize,
        bias_correction=args.bias_correction,
        rounding=args.rounding,
        batch=args.batch,
        check=args.check,
    )
    data = _calibration(args.calib, graphs)
    carry = [_pair(text) for text in args.carry] or said_carries({n: read_said(path) for n, path in graphs.items()})
    progress = StageProgress()
    try:
        each = {name: replace(options, calibration=data.get(name)) for name in graphs}
        made = compile_graphs(graphs, hw, each, carry, progress)
        near = print_verifications(made, progress, progress.clear) if args.verify else {}
        losses = {name: loss_report(part, made.program.at(name)) for name, part in made.parts.items()}
    finally:
        progress.clear()
    if args.report:
        write_report(args.report, report_page(made.program, args.output.name, accuracy=near))
    notes, warnings = ({name: found[i] for name, found in losses.items()} for i in range(2))
    write_entries(args, made, notes, warnings)
    return 0


def _graphs(texts: list[str]) -> dict[str, Path]:
    """The entry points and their files, of FILE or NAME=FILE; a file may say what it is called."""
    graphs: dict[str, Path] = {}
    for text in texts:
        name, equals, file = text.partition("=")
        path = Path(file if equals else text)
        name = name if equals else read_said(path).get(GRAPH, path.stem)
        if name in graphs:
            raise BadUsageError(
                f"two entry points would be called '{name}', of '{graphs[name]}' and '{path}'; name one: NAME=FILE.onnx"
            )
        graphs[name] = path
    return graphs


def _calibration(texts: list[str], graphs: Mapping[str, Path]) -> dict[str, str]:
    """Of each graph its data, of NAME=DATA, or of random[:N] for all."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, data = text.partition("=")
        if not equals and text.split(":")[0] != "random":
            raise BadUsageError(
                f"--calib {text}: with several graphs say of which one it is, for example {next(iter(graphs))}={text}"
            )
        if equals and name not in graphs:
            raise BadUsageError(f"--calib {text}: there is no entry point '{name}'; there are {', '.join(graphs)}")
        for each in [name] if equals else graphs:
            if each in found:
                raise BadUsageError(f"--calib is given twice for '{each}'")
            found[each] = data if equals else text
    return found


def _pair(text: str) -> tuple[str, str]:
    name, equals, result = text.rpartition("=")
    if not (name and equals and result):
        raise BadUsageError(f"argument --carry: '{text}' is not ENTRY:INPUT=ENTRY:OUTPUT")
    return name, result
