"""Float model to QDQ model with ONNX Runtime's quantizer.

int8 weights, symmetric, per output channel; int8 activations, asymmetric, so that Relu and Clip are absorbed;
int32 biases round(b / (s_x * s_w)). Models that already hold Q/DQ are taken as they are. Where the ranges come
from is `ranges.py`; what improves them is `equalize.py` and `bias_correction.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from vlac.errors import CalibrationError, ModelError
from vlac.ops import OPS
from vlac.ops.chains import find_chains
from vlac.ops.spec import shape_of
from vlac.options import CompileOptions
from vlac.quantize.bias_correction import correct_biases
from vlac.quantize.calibration import Samples, read_samples
from vlac.quantize.equalize import equalize
from vlac.quantize.ranges import observe_ranges

__all__ = ["Quantized", "apply_ranges", "is_quantized", "quantize_model"]

_ORT_ERRORS = (ort.Fail, ort.InvalidArgument, ort.InvalidGraph, ort.NotImplemented, ort.RuntimeException, ValueError)
_WARNING, _FATAL = 2, 4  # severities of ONNX Runtime's log


@dataclass(frozen=True)
class Quantized:
    """A QDQ model, and for a float model what it was made from.

    `reference` is the float model that was calibrated, `samples` and `ranges` what it was calibrated with.
    """

    qdq: onnx.ModelProto
    reference: onnx.ModelProto | None = None
    samples: Samples = field(default_factory=list)
    ranges: Any = None


def is_quantized(model: ir.Model) -> bool:
    """Whether the model holds QuantizeLinear or DequantizeLinear."""
    return any(n.op_type in ("QuantizeLinear", "DequantizeLinear") for n in model.graph)


def quantize_model(model: ir.Model, options: CompileOptions, host: Collection[str] = ()) -> Quantized:
    """The QDQ model of a rewritten float model, or the model itself where it is quantized already.

    Args:
        host: names of nodes that stay float, because they run on the host.

    Raises:
        CalibrationError: no calibration data for a float model, or data that does not fit.
        ModelError: ONNX Runtime cannot run the model.
    """
    if is_quantized(model):
        return Quantized(ir.to_proto(model))
    if options.calibration is None:
        raise CalibrationError(
            "the model is float and has no calibration data; give --calib DATA.npz with one array per "
            "input, --calib DIR with one .npz per sample, or --calib random:8 to try without data"
        )
    dtypes = {str(v.name): v.dtype.numpy() for v in model.graph.inputs if v.dtype is not None}
    samples = read_samples(options.calibration, {str(v.name): shape_of(v) for v in model.graph.inputs}, dtypes)
    if options.equalize:
        equalize(model)
    reference = ir.to_proto(model)
    ranges = observe_ranges(reference, samples, _op_types(), options)
    _check_finite(ranges)
    try:
        qdq = apply_ranges(reference, ranges, exclude=host)
        if options.bias_correction:
            qdq = apply_ranges(correct_biases(reference, qdq, samples), ranges, exclude=host)
    except _ORT_ERRORS as e:
        raise ModelError(
            f"ONNX Runtime cannot run or quantize the model: {str(e).strip()}; check that it runs there in float32"
        ) from e
    return Quantized(qdq, reference, samples, ranges)


def _check_finite(ranges: Any) -> None:
    for name, found in ranges.items():
        if not np.isfinite([float(np.min(v)) for v in found.range_value]).all():
            raise CalibrationError(
                f"value '{name}' is not finite for the calibration data (Log or a division of 0, or an overflow): no "
                "scale can hold it; calibrate with other data, or clip what it is computed from"
            )


def apply_ranges(
    model: onnx.ModelProto, ranges: Any, *, exclude: Collection[str] = (), only: Collection[str] = ()
) -> onnx.ModelProto:
    """The QDQ model of a float model and its ranges; of all supported nodes, or of those named in `only`.

    Chains of element by element operators stay float inside: they become one table.
    """
    chains = [c for c in find_chains(ir.from_proto(model), exclude) if not only or c.nodes[0] in only]
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    with _quiet():
        quantizer = QDQQuantizer(
            copy,
            True,  # per channel
            False,  # the whole 8 bits
            QuantType.QInt8,
            QuantType.QInt8,
            ranges,
            list(only),
            [*exclude, *(n for c in chains for n in c.nodes)],
            _op_types(),
            {
                "ActivationSymmetric": False,
                "WeightSymmetric": True,
                "ForceQuantizeNoInputCheck": True,  # also pools and views of values nothing else has quantized yet
                "OpTypesToExcludeOutputQuantization": [s.name for s in OPS if not s.quantize_result],
            },
        )
        read = _read_inputs(model, exclude, only)
        for name in dict.fromkeys([*read, *(v for c in chains for v in (c.source, c.result))]):
            quantizer.quantize_activation_tensor(name)
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    qdq: onnx.ModelProto = quantizer.model.model
    return qdq


def _read_inputs(model: onnx.ModelProto, exclude: Collection[str], only: Collection[str]) -> list[str]:
    """Model inputs that quantized nodes read; a node that only moves or clamps values would leave them float."""
    kinds = set(_op_types())
    nodes = [n for n in model.graph.node if n.op_type in kinds and n.name not in exclude]
    read = {name for n in nodes if not only or n.name in only for name in n.input}
    return [v.name for v in model.graph.input if v.name in read]


def _op_types() -> list[str]:
    return [s.name for s in OPS if s.quantize]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantizer's hints about its own pre-processing, and ONNX Runtime's log, off the terminal."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    onnxruntime.set_default_logger_severity(_FATAL)
    try:
        yield
    finally:
        logging.disable(previous)
        onnxruntime.set_default_logger_severity(_WARNING)
