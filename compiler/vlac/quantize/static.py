"""Float model to QDQ model: int8 weights per output channel, int8 activations, int32 biases.

Models that already hold Q/DQ are taken as they are. Where the ranges come from is `ranges.py` and `known_ranges.py`,
what stays float and where Q/DQ go `insert_qdq.py`; what improves them is `equalize_rows.py`, `equalize.py` and
`bias_correction.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
import onnx
import onnx_ir as ir

from vla_isa.layout import TensorLayout
from vlac.analysis.host_nodes import host_prefix, host_suffix, number_inputs
from vlac.errors import CalibrationError
from vlac.model.task_masks import TaskMasks, masked_models
from vlac.options import ACTIVATIONS, CALIBRATION_METHODS, CompileOptions
from vlac.quantize.bias_correction import correct_biases
from vlac.quantize.calibration import Samples, is_random, model_values, read_samples
from vlac.quantize.equalize import equalize
from vlac.quantize.equalize_rows import ChannelPeaks, Peaks, equalize_rows
from vlac.quantize.exponents import AttentionOperands, choose_exponents
from vlac.quantize.faint_scores import check_scores
from vlac.quantize.far_logits import LogitBounds, check_logits
from vlac.quantize.held_out import split
from vlac.quantize.hidden import HiddenInputs, hidden_values
from vlac.quantize.input_ranges import known_ranges
from vlac.quantize.insert_qdq import Ranges, activations, insert_qdq, observable
from vlac.quantize.known_ranges import settle_ranges
from vlac.quantize.ranges import observe_ranges
from vlac.quantize.rounds import all_rounds
from vlac.quantize.suspects import suspects
from vlac.quantize.wide import has_sequences, layers_are_wide, set_activations

__all__ = ["Joint", "Quantized", "is_quantized", "quantize_model"]


@dataclass
class Joint:
    """What the graphs of one program must agree on.

    Attributes:
        sizes: of inputs and outputs that this graph shares with another one, the absolute value that their scale must
            reach at least.
        peaks: of channels in front of layers, by the layers' weights, what all graphs saw: one mapping for all.
        layouts: how inputs lie, by name, where the graph that makes them has another order.
    """

    sizes: dict[str, float] = field(default_factory=dict)
    peaks: Peaks = field(default_factory=dict)
    layouts: dict[str, TensorLayout] = field(default_factory=dict)


@dataclass(frozen=True)
class Quantized:
    """A QDQ model, and for a float model what it was made from.

    `floating` is the float model that was calibrated, `samples`, `held_out` and `ranges` what it was calibrated with,
    `host` the nodes that stayed float, `warnings` what is odd about the data. `trial` makes the QDQ model that the
    samples alone would have given: how it does on those that are held out tells how the ranges generalize.
    """

    model: ir.Model
    floating: ir.Model | None = None
    samples: Samples = field(default_factory=list)
    ranges: Ranges = field(default_factory=lambda: Ranges({}))
    held_out: Samples = field(default_factory=list)
    host: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
    trial: Callable[[], ir.Model] | None = None

    @cached_property
    def qdq(self) -> onnx.ModelProto:
        """The QDQ model as ONNX; made when it is first asked for, as it is as large as the weights."""
        return ir.to_proto(self.model)

    @cached_property
    def reference(self) -> onnx.ModelProto | None:
        """The float model as ONNX."""
        return None if self.floating is None else ir.to_proto(self.floating)


def is_quantized(model: ir.Model) -> bool:
    """Whether the model holds QuantizeLinear or DequantizeLinear."""
    return any(n.op_type in ("QuantizeLinear", "DequantizeLinear") for n in model.graph)


def quantize_model(
    model: ir.Model,
    options: CompileOptions,
    host: Collection[str] = (),
    joint: Joint | None = None,
    tasks: TaskMasks | None = None,
) -> Quantized:
    """The QDQ model of a rewritten float model, or the model itself where it is quantized already.

    Args:
        host: names of nodes that stay float, because they run on the host.
        joint: what the other graphs of the program ask for.
        tasks: with whose masks the samples are seen too; or only so, where an input chooses the task.

    Raises:
        CalibrationError: no calibration data for a float model, or data that does not fit or that the model cannot
            run on.
    """
    if is_quantized(model) or not model.graph.outputs:
        return Quantized(model)
    if options.calibration is None:
        raise CalibrationError(
            "the model is float and has no calibration data; give --calib DATA.npz with one array per "
            "input, --calib DIR with one .npz per sample, or --calib random:8 to try without data"
        )
    _check_names(options)
    host = {*host, *host_prefix(model), *host_suffix(model)}
    set_activations(model, options.activations, host)
    given = read_samples(options.calibration, *model_values(model), number_inputs(model))
    if tasks is not None and not is_random(options.calibration):
        tasks.check_samples(given)
    seen, kept = split(given, options.calibration)
    if options.equalize:
        equalize(model)
    held_out = all_rounds(model, kept)
    samples, bounds = _watched(model, seen, joint)
    *before, (observed, winners) = observe_ranges(
        model,
        observable(model, host),
        [samples, held_out] if held_out else [samples],
        options,
        [] if tasks is None else masked_models(model, tasks),
        tasks.number if tasks is not None and tasks.chosen_by else None,
    )
    check_scores(model, samples, host)
    if bounds is not None:
        check_logits(model, samples, observed, bounds, host)
    known = known_ranges(model)
    for ranges_seen in (observed, *(b[0] for b in before)):
        ranges_seen |= {name: ends for name, ends in known.items() if name in ranges_seen}
    ranges = _reaching(settle_ranges(model, observed, winners), {} if joint is None else joint.sizes)
    _check_finite(ranges, [v.name or "" for v in activations(model, host)])
    qdq, source = insert_qdq(model, ranges, exclude=host), model
    if options.bias_correction:
        source = correct_biases(model, qdq, all_rounds(model, given))
        qdq = insert_qdq(source, ranges, exclude=host)
    trial = partial(insert_qdq, source, settle_ranges(model, *before[0]), exclude=host) if before else None
    return Quantized(qdq, model, samples, ranges, held_out, frozenset(host), suspects(model, observed), trial)


def _check_names(options: CompileOptions) -> None:
    if options.calibration_method not in CALIBRATION_METHODS:
        methods = ", ".join(CALIBRATION_METHODS)
        raise CalibrationError(f"unknown calibration method '{options.calibration_method}'; there are {methods}")
    if options.activations not in ACTIVATIONS:
        raise CalibrationError(f"unknown activations '{options.activations}'; there are {', '.join(ACTIVATIONS)}")


def _watched(model: ir.Model, samples: Samples, joint: Joint | None) -> tuple[Samples, LogitBounds | None]:
    """Samples of all rounds. What they show of a model of sequences chooses its exponents and equalizes its rows."""
    if not has_sequences(model):
        return all_rounds(model, samples), None
    inputs, operands, bounds = HiddenInputs(model), AttentionOperands(model), LogitBounds(model)
    channels = ChannelPeaks(model, inputs.results)
    found = all_rounds(model, samples, [inputs, operands, bounds, channels])
    choose_exponents(model, operands)
    wide = layers_are_wide(model)
    hidden = inputs.results if wide else hidden_values(inputs, channels.largest)
    equalize_rows(model, channels.largest, hidden, None if joint is None else joint.peaks, wide=wide)
    return found, bounds


def _reaching(ranges: Ranges, sizes: Mapping[str, float]) -> Ranges:
    """The ranges, with those of values that must reach some size made as wide."""
    wider = {name: (-size, size) for name, size in sizes.items()}
    values = ranges.values
    joined = {n: (min(low, values[n][0]), max(high, values[n][1])) for n, (low, high) in wider.items() if n in values}
    return Ranges({**values, **joined}, ranges.constants)


def _check_finite(ranges: Ranges, names: Collection[str]) -> None:
    for name in names:
        if not np.isfinite(ranges.values[name]).all():
            raise CalibrationError(
                f"value '{name}' is not finite for the calibration data (Log or a division of 0, or an overflow): no "
                "scale can hold it; calibrate with other data, or clip what it is computed from"
            )
