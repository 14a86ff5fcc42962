"""`vlac compile` of one model: a model file in, a program file out, and what the user asked to see on the way.

Not here: several models (`graphs_command.py`), the other commands (`vlac/commands.py`), the passes
(`vlac/pipeline.py`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import Progress, TaskID, TextColumn, TimeElapsedColumn

from vla_isa import image, package
from vla_isa.errors import BadUsageError
from vla_isa.files import check_folder, check_writable, make_folder, write_whole
from vla_isa.hardware import load
from vla_isa.package import HostPartition, Package
from vla_isa.program import Program
from vla_toolchain.constants_argument import read_constants
from vla_toolchain.verify.report import loss_report, print_verification
from vlac.api import compile_file
from vlac.errors import ModelError
from vlac.import_onnx.shapes import shape_argument
from vlac.options import ACTIVATIONS, PERCENTILE, ROUNDING_NAMES, CompileOptions
from vlac.partition.sample import sample_values
from vlac.partition.table import PartitionCost, partition_costs, partitions_text, total_text
from vlac.passes import Compilation
from vlac.pipeline import PASSES
from vlac.quantize.sensitivity import LayerLoss, layer_losses
from vlac.quantize.static import is_quantized
from vlac.report.html import report_page
from vlac.report.summary import summary
from vlac.report.tasks import task_costs, task_text

__all__ = [
    "StageProgress",
    "check_outputs",
    "check_percentile",
    "check_rounding",
    "check_used",
    "compile_model",
    "options_of",
    "write_report",
]

T = TypeVar("T")


class StageProgress:
    """On a terminal one line with the stage and its seconds, which goes when the work is done."""

    def __init__(self) -> None:
        columns = (TextColumn("vlac: {task.description}"), TimeElapsedColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task: TaskID | None = None

    def __call__(self, name: str) -> None:
        """Show a stage."""
        if not self._bar.console.is_terminal:
            return
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(name)
        self._bar.start()

    def clear(self) -> None:
        """Remove the line."""
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._bar.stop()
            self._task = None


def compile_model(args: argparse.Namespace) -> int:
    """vlac compile, of one model."""
    hw = load(args.config)
    dumps = _dump_targets(args.dump_after)
    check_outputs(args, [args.output, *dumps.values()])
    check_percentile(args)
    check_rounding(args)
    options = options_of(args, constants=_constants(args), dump_after=dumps)
    progress = StageProgress()
    try:
        state = compile_file(args.model, hw, options, progress)
        check_used(args, state)
        product = _product(state)
        if args.embed_onnx and state.source is not None:
            product.onnx = state.read().whole.SerializeToString()
        losses = _losses(state, progress) if args.sensitivity else []
        near = print_verification(state, progress, progress.clear) if args.verify else []
        state.graph = state.planned = None  # as large as the weights, and used no more
        loss, warnings = loss_report(state, product)
    finally:
        progress.clear()
    costs = partition_costs(product, sample_values(state)) if isinstance(product, Package) else []
    guessed = state.quantized is not None and state.quantized.floating is not None and _is_random(args.calib)
    result = _result(args.output, product, costs, "; its scales are a guess (--calib random)" if guessed else "")
    page = report_page(product, args.model.name, losses, costs, {"": near}) if args.report else ""
    _write(args, product, page)
    if args.time:
        for name, seconds in state.seconds.items():
            print(f"{name:<10} {seconds:8.3f} s", file=sys.stderr)
    print("\n".join([result, *loss]))
    if isinstance(product, Program) and product.tasks is not None:
        print(task_text(task_costs(product)))
    for line in warnings:
        print(f"warning: {line}", file=sys.stderr)
    return 0


def options_of(args: argparse.Namespace, **more: Any) -> CompileOptions:
    """What the arguments say of one model, and `more`."""
    return CompileOptions(
        calibration=args.calib,
        calibration_method=args.calib_method or "minmax",
        percentile=PERCENTILE if args.percentile is None else args.percentile,
        activations=args.activations or ACTIVATIONS[0],
        equalize=args.equalize,
        bias_correction=args.bias_correction,
        rounding=args.rounding,
        allow_host=args.allow_host,
        input_shapes=_once("--input-shape", map(_shape, args.input_shape)),
        batch=args.batch,
        carry=_once("--carry", map(_pair, args.carry)),
        repeat=args.repeat,
        counter=args.counter,
        task_masks=args.task_masks,
        check=args.check,
        **more,
    )


def _constants(args: argparse.Namespace) -> dict[str, Any]:
    """The arrays of --constants."""
    if args.constants is None:
        return {}
    for option in ("--sensitivity", "--embed-onnx"):
        if getattr(args, option[2:].replace("-", "_")):
            raise BadUsageError(f"{option} takes every input as an input; compile without --constants for it")
    return read_constants(args.constants)


def _is_random(calibration: str | None) -> bool:
    return calibration is not None and calibration.split(":")[0] == "random"


def _write(args: argparse.Namespace, product: Program | Package, page: str) -> None:
    """The program last: where it is, everything else worked."""
    data = package.dumps(product) if isinstance(product, Package) else image.dumps(product)
    if args.report:
        write_report(args.report, page)
    write_whole(args.output, data)


def write_report(folder: Path, page: str) -> None:
    """Write a page into its folder, which is made."""
    make_folder(folder)
    write_whole(folder / "report.html", page.encode())


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    try:
        return shape_argument(text)
    except ValueError as e:
        raise BadUsageError(f"argument --input-shape: {e}") from e


def _once(option: str, pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    """What is said of each input, which may be named once."""
    found: dict[str, T] = {}
    for name, value in pairs:
        if name in found:
            raise BadUsageError(f"argument {option}: '{name}' is given twice")
        found[name] = value
    return found


def _pair(text: str) -> tuple[str, str]:
    name, equals, result = text.rpartition("=")
    if not (name and equals and result):
        raise BadUsageError(f"argument --carry: '{text}' is not INPUT=OUTPUT")
    return name, result


def check_percentile(args: argparse.Namespace) -> None:
    """Refuse a percentile that is none, or that nothing takes."""
    if args.percentile is None:
        return
    if not 50 < args.percentile <= 100:
        raise BadUsageError(f"--percentile is {args.percentile:g}; give more than 50 and at most 100")
    if args.calib_method != "percentile":
        raise BadUsageError("--percentile is for --calib-method percentile; give both or none")


def check_rounding(args: argparse.Namespace) -> None:
    """Refuse to verify what ONNX Runtime does not round so."""
    if args.verify and args.rounding not in (None, ROUNDING_NAMES[0]):
        raise BadUsageError(f"--verify cannot judge --rounding {args.rounding}: ONNX Runtime rounds to nearest even")


def check_used(args: argparse.Namespace, state: Compilation) -> None:
    """Refuse options that change nothing, because the model came with its scales."""
    if state.quantized is None or not is_quantized(state.quantized.model) or state.quantized.floating is not None:
        return
    options = {
        "--calib": args.calib,
        "--calib-method": args.calib_method,
        "--percentile": args.percentile,
        "--activations": args.activations,
        "--equalize": args.equalize,
        "--bias-correction": args.bias_correction,
    }
    useless = [name for name, given in options.items() if given]
    if useless:
        raise BadUsageError(
            f"'{args.model}' is quantized already, or has nothing to quantize, so {', '.join(useless)} would change "
            "nothing; leave it out, or compile the float model"
        )


def check_outputs(args: argparse.Namespace, files: list[Path]) -> None:
    """Refuse places that cannot be written, or that are one another or the model, before any work is done."""
    for path in files:
        check_writable(path)
    if args.report:
        check_folder(args.report)
        files = [*files, args.report]
    taken = {args.model.resolve(): "the model"}
    for path in files:
        if path.resolve() in taken:
            raise BadUsageError(f"output '{path}' is also {taken[path.resolve()]}; give each its own place")
        taken[path.resolve()] = "another output"


def _product(state: Compilation) -> Program | Package:
    found = state.package or state.program
    if found is None:
        raise ModelError("the passes made no program")
    return found


def _result(path: Path, product: Program | Package, costs: list[PartitionCost], note: str) -> str:
    """One line about a program, with a note behind it; the table of partitions where there are host partitions."""
    if isinstance(product, Package):
        hosted = sum(len(p.nodes) for p in product.partitions if isinstance(p, HostPartition))
        head = f"{path}: {len(product.partitions)} partitions, {hosted} nodes on the host; {total_text(costs)}{note}"
        return f"{head}\n{partitions_text(costs)}"
    facts, hw = summary(product), product.config
    return (
        f"{path}: {facts['packets']} instructions for '{hw.name}', {facts['macs'] / 1e6:.2f} MMAC, about "
        f"{facts['cycles']:,} cycles ({facts['milliseconds']:.3f} ms at {hw.clock_mhz} MHz, "
        f"{100 * facts['utilization']:.0f} % of peak){note}"
    )


def _losses(state: Compilation, progress: StageProgress) -> list[LayerLoss]:
    progress("sensitivity")
    assert state.quantized is not None
    losses = layer_losses(state.quantized)
    progress.clear()
    width = max(len(r.node) for r in losses)
    print(f"{'layer':<{width}} {'op':<14} SNR of the outputs with only this layer quantized")
    for r in losses:
        print(f"{r.node:<{width}} {r.op:<14} {r.snr:.1f} dB")
    return losses


def _dump_targets(texts: list[str]) -> dict[str, Path]:
    known = [p.name for p in PASSES]
    out = {}
    for text in texts:
        name, equals, file = text.partition("=")
        if not equals or not file or name not in known:
            raise BadUsageError(f"--dump-after takes PASS=FILE, found '{text}'; passes are {', '.join(known)}")
        out[name] = Path(file)
    return out
