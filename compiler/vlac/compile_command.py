"""`vlac compile`: a model file in, a program file out, and what the user asked to see on the way.

Not here: the other commands (`commands.py`), the passes (`pipeline.py`).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from vla_isa import bundle, image
from vla_isa.bundle import Bundle, HostPart
from vla_isa.errors import BadUsageError
from vla_isa.hardware import load
from vla_isa.program import Program
from vlac.api import compile_file
from vlac.errors import ModelError
from vlac.files import check_folder, check_writable, make_folder, write_whole
from vlac.options import CompileOptions
from vlac.partition.sample import sample_values
from vlac.partition.table import PartCost, part_costs, parts_text, total_text
from vlac.passes import Compilation
from vlac.pipeline import PASSES
from vlac.quantize.sensitivity import LayerLoss, layer_losses
from vlac.report.html import report_page
from vlac.report.summary import summary

__all__ = ["compile_model"]

_PATIENCE = 2.0  # seconds before progress is shown


class _Progress:
    """One line on a terminal, from two seconds on."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._shown = False

    def __call__(self, name: str) -> None:
        if sys.stderr.isatty() and time.monotonic() - self._start > _PATIENCE:
            sys.stderr.write(f"\rvlac: {name:<12}")
            sys.stderr.flush()
            self._shown = True

    def clear(self) -> None:
        """Remove the line."""
        if self._shown:
            sys.stderr.write("\r" + " " * 30 + "\r")


def compile_model(args: argparse.Namespace) -> int:
    """vlac compile."""
    hw = load(args.config)
    dumps = _dump_targets(args.dump_after)
    _check_outputs(args, [args.output, *dumps.values()])
    if not 50 < args.percentile <= 100:
        raise BadUsageError(f"--percentile is {args.percentile:g}; give more than 50 and at most 100")
    options = CompileOptions(
        calibration=args.calib,
        calibration_method=args.calib_method,
        percentile=args.percentile,
        equalize=args.equalize,
        bias_correction=args.bias_correction,
        allow_host=args.allow_host,
        dump_after=dumps,
    )
    progress = _Progress()
    state = compile_file(args.model, hw, options, progress)
    product = _product(state)
    if args.embed_onnx and state.source is not None:
        product.onnx = state.source.SerializeToString()
    losses = _losses(state, progress) if args.sensitivity else []
    if args.verify:
        _verify(state, progress)
    progress.clear()
    data = bundle.dumps(product) if isinstance(product, Bundle) else image.dumps(product)
    costs = part_costs(product, sample_values(state)) if isinstance(product, Bundle) else []
    if args.report:
        page = report_page(product, args.model.name, losses, costs)
        make_folder(args.report)
        write_whole(args.report / "report.html", page.encode())
    write_whole(args.output, data)  # last: there is no program where anything else is wrong
    if args.time:
        for name, seconds in state.seconds.items():
            print(f"{name:<10} {seconds:8.3f} s", file=sys.stderr)
    _print_result(args.output, product, costs)
    return 0


def _check_outputs(args: argparse.Namespace, files: list[Path]) -> None:
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


def _product(state: Compilation) -> Program | Bundle:
    found = state.bundle or state.program
    if found is None:
        raise ModelError("the passes made no program")
    return found


def _print_result(path: Path, product: Program | Bundle, costs: list[PartCost]) -> None:
    """One line about a program; the table of parts where there are host parts."""
    if isinstance(product, Bundle):
        hosted = sum(len(p.nodes) for p in product.parts if isinstance(p, HostPart))
        print(f"{path}: {len(product.parts)} parts, {hosted} nodes on the host; {total_text(costs)}")
        print(parts_text(costs))
        return
    facts, hw = summary(product), product.config
    print(
        f"{path}: {facts['packets']} instructions for '{hw.name}', {facts['macs'] / 1e6:.2f} MMAC, about "
        f"{facts['cycles']:,} cycles ({facts['milliseconds']:.3f} ms at {hw.clock_mhz} MHz, "
        f"{100 * facts['utilization']:.0f} % of peak)"
    )


def _losses(state: Compilation, progress: _Progress) -> list[LayerLoss]:
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


def _verify(state: Compilation, progress: _Progress) -> None:
    """Every node of the program beside ONNX Runtime; refused where one is outside the limits."""
    from vlac.verify import exact_reference
    from vlac.verify_program import table, verify
    from vlarun import Session  # only here: the compiler itself does not need a backend

    rows = verify(state, lambda program, inputs: Session(program, backend="sim").run(inputs, raw=True), progress)
    progress.clear()
    print(table(rows))
    checks = [r.check for r in rows]
    elements, different = sum(c.elements for c in checks), sum(c.different for c in checks)
    print(f"verified {len(checks)} nodes against ONNX Runtime: {elements - different} of {elements} values equal")
    bad = [c for c in checks if not c.ok]
    if bad and not exact_reference():
        print("this CPU has no VNNI, without which ONNX Runtime's integers are not exact: differences are not judged")
    elif bad:
        raise ModelError(
            "the program differs from ONNX Runtime by more than 1 or in too many values: "
            + "; ".join(f"'{c.name}' in {c.different} of {c.elements} values by up to {c.largest}" for c in bad)
            + "; this is a fault of the compiler, please report it with the model"
        )
