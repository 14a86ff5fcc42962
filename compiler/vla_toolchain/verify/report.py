"""What `vlac compile` tells about a program: `--verify`, and the loss of accuracy that every compile prints.

Not here: comparing (`program.py`, `loss.py`).
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from numpy.typing import NDArray

from vla_isa.errors import VlaError
from vla_isa.package import Package
from vla_isa.program import Program
from vla_toolchain.verify.constants import verify_constants
from vla_toolchain.verify.graphs import verify_graphs
from vla_toolchain.verify.loss import OutputLoss, output_loss
from vla_toolchain.verify.program import Row, Verification, verify
from vla_toolchain.verify.reference import Arrays, Reference, exact_reference, random_inputs
from vla_toolchain.verify.rounds import first_samples, in_rounds
from vla_toolchain.verify.tasks import entry_run, in_tasks, model_run
from vlac.errors import ModelError
from vlac.graphs import CompiledGraphs
from vlac.passes import Compilation
from vlac.quantize.calibration import is_random
from vlac.report.accuracy import NodeAccuracy
from vlarun.partitions import open_session

__all__ = ["loss_report", "print_constants", "print_verification", "print_verifications"]

_SAMPLES, _SECONDS = 8, 0.5  # to measure on: at most so many, and none more after this time
_OUTPUTS = 4  # in the line of a compile


def print_verification(
    state: Compilation, on_progress: Callable[[str], None], clear: Callable[[], None]
) -> list[NodeAccuracy]:
    """`--verify`: every node of the program beside ONNX Runtime, as a table; what a report shows of it.

    Raises:
        ModelError: something is outside the limits.
    """
    if state.options.constants and state.program is not None:
        return print_constants(state.program, {"": state}, on_progress, clear)
    found = verify(state, on_progress)
    clear()
    return _judged({"": found})[""]


def print_constants(
    program: Program,
    parts: Mapping[str, Compilation],
    on_progress: Callable[[str], None],
    clear: Callable[[], None],
) -> list[NodeAccuracy]:
    """`--verify` of inputs that are constants, of one program or of each entry point.

    Raises:
        ModelError: something is outside the limits.
    """
    found = verify_constants(program, parts, on_progress)
    clear()
    return _judged({"": found})[""]


def print_verifications(
    made: CompiledGraphs, on_progress: Callable[[str], None], clear: Callable[[], None]
) -> dict[str, list[NodeAccuracy]]:
    """`--verify` of several graphs: a table for each entry point; what a report shows of it.

    Raises:
        ModelError: something is outside the limits.
    """
    found = verify_graphs(made, on_progress)
    clear()
    return _judged(found)


def _judged(found: Mapping[str, Verification]) -> dict[str, list[NodeAccuracy]]:
    """Print what was found, by entry point or '', and refuse what is outside the limits."""
    for name, each in found.items():
        if name:
            print(f"entry point {name}:")
        print(each.text())
    if not exact_reference():
        print("this CPU has no VNNI, without which ONNX Runtime's integers are not exact:")
        print("differences are not judged")
    faults = [
        f"entry point '{name}': {fault}" if name else fault
        for name, each in found.items()
        for fault in each.faults(exact=exact_reference())
    ]
    if faults:
        raise ModelError("; ".join(faults) + "; this is a fault of the compiler, please report it with the model")
    return {name: [_accuracy(row) for row in each.rows] for name, each in found.items()}


def _accuracy(row: Row) -> NodeAccuracy:
    check = row.check
    return NodeAccuracy(check.name, 1 - check.different / max(check.elements, 1), row.snr)


def loss_report(state: Compilation, product: Program | Package) -> tuple[list[str], list[str]]:
    """How far the program is from the user's float model, as lines of 80 columns, and warnings where that is far."""
    if state.quantized is None or state.quantized.floating is None:
        return [], []
    if state.options.constants:
        return ["SNR not measured: samples hold other values of the constant inputs"], list(state.quantized.warnings)
    samples, what = _samples(state)
    try:
        losses, used = _measured(state, product, samples)
    except VlaError as e:
        return [f"SNR not measured: {e}"], list(state.quantized.warnings)
    more = f" and {len(losses) - _OUTPUTS} more outputs" if len(losses) > _OUTPUTS else ""
    number = f"{used} sample{'s' if used > 1 else ''}"
    line = f"SNR to the float model on {number} {what}: {', '.join(map(str, losses[:_OUTPUTS]))}{more}"
    line = line.replace(" dB", "\N{NO-BREAK SPACE}dB")
    lines = textwrap.wrap(line, 80, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    lines = [each.replace("\N{NO-BREAK SPACE}", " ") for each in lines]
    return lines, [*state.quantized.warnings, *(w for loss in losses for w in loss.warnings)]


def _samples(state: Compilation) -> tuple[list[Mapping[str, NDArray[Any]]], str]:
    """What to measure on, and what it is."""
    assert state.quantized is not None and state.source is not None
    made = state.quantized
    if made.held_out:
        return list(made.held_out), "held out from calibration"
    if state.options.calibration is not None and is_random(state.options.calibration):
        seeds = count(1)  # calibration's own has seed 0
        return [random_inputs(state.source.light, next(seeds)) for _ in range(_SAMPLES)], "of other random numbers"
    return list(made.samples), "of the calibration data itself (of 5 and more, a fifth is held out)"


def _measured(
    state: Compilation, product: Program | Package, samples: list[Mapping[str, NDArray[Any]]]
) -> tuple[list[OutputLoss], int]:
    """Losses of the outputs and on how many samples, the first ones that the time allows.

    Of the program; where it has seen the samples, of the one that has not, if that is worse.
    """
    assert state.quantized is not None
    reference, model = Reference(state.read()), state.quantized.model
    float_run = in_rounds(model, reference.run) if state.options.repeat > 1 else reference.run
    makers: list[Callable[[Arrays], Arrays]] = [open_session(product).run]
    trial = None if state.quantized.trial is None else state.quantized.trial()
    if state.tasks.chosen_by:
        assert state.quantized.floating is not None
        float_run = in_tasks(state.quantized.floating, state.tasks, reference.outputs)
        makers = [entry_run(product, state.tasks)]
        makers += [] if trial is None else [in_tasks(trial, state.tasks, reference.outputs)]
    elif trial is not None:
        makers.append(in_rounds(model, model_run(trial, reference.outputs)))
    samples = first_samples(model, samples)
    wanted: list[Arrays] = []
    found: list[list[Arrays]] = [[] for _ in makers]
    start = time.monotonic()
    for inputs in samples[:_SAMPLES]:
        if wanted and time.monotonic() - start > _SECONDS:
            break
        wanted.append(float_run(inputs))
        for run, results in zip(makers, found, strict=True):
            results.append(run(inputs))
    sizes = {v.name: v.shape for v in (product.outputs if isinstance(product, Package) else product.model_outputs)}
    names = [name for name in reference.outputs if min(sizes[name], default=1) > 0]
    if not names:
        raise ModelError("every output has another size in every run")
    losses = []
    for name in names:
        values = [w[name] for w in wanted]
        each = [output_loss(name, values, [r[name] for r in results]) for results in found if name in results[0]]
        losses += sorted(each, key=lambda loss: loss.equal if loss.snr is None else loss.snr)[:1]
    return losses, len(wanted)
