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
from onnxruntime.quantization.calibrate import TensorData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from vlac.errors import CalibrationError, ModelError
from vlac.ops import OPS
from vlac.ops.chains import find_chains
from vlac.ops.host_nodes import host_prefix, host_suffix, prefix_nodes
from vlac.options import CompileOptions
from vlac.quantize.bias_correction import correct_biases
from vlac.quantize.calibration import Samples, model_values, read_samples
from vlac.quantize.equalize import equalize
from vlac.quantize.input_ranges import known_ranges
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
    if is_quantized(model) or not model.graph.outputs:
        return Quantized(ir.to_proto(model))
    if options.calibration is None:
        raise CalibrationError(
            "the model is float and has no calibration data; give --calib DATA.npz with one array per "
            "input, --calib DIR with one .npz per sample, or --calib random:8 to try without data"
        )
    host = {*host, *host_prefix(model), *host_suffix(model)}
    samples = read_samples(options.calibration, *model_values(model))
    if options.equalize:
        equalize(model)
    reference = ir.to_proto(model)
    ranges = observe_ranges(reference, samples, _op_types(), options)
    for name, ends in known_ranges(model).items():
        if name in ranges:
            ranges[name] = TensorData(lowest=np.float32(ends[0]), highest=np.float32(ends[1]))
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
        read = _read_values(model, ranges, exclude, only)
        for name in dict.fromkeys([*read, *(v for c in chains for v in (c.source, c.result))]):
            quantizer.quantize_activation_tensor(name)
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    qdq: onnx.ModelProto = quantizer.model.model
    _undo_in_front(qdq, ir.from_proto(model), exclude)
    return qdq


def _undo_in_front(qdq: onnx.ModelProto, model: ir.Model, exclude: Collection[str]) -> None:
    """Let nodes of the host read real numbers in front of the device, where it reads the same values quantized."""
    on_host = (host_prefix(model) | host_suffix(model)) & set(exclude)
    front = {v.name for v in model.graph.inputs}
    front |= {v.name for node in prefix_nodes(model) if node.name in on_host for v in node.outputs}
    real = {n.output[0]: n.input[0] for n in qdq.graph.node if n.op_type == "QuantizeLinear" and n.input[0] in front}
    quantized = {n.output[0]: real[n.input[0]] for n in qdq.graph.node if n.input and n.input[0] in real}
    for node in qdq.graph.node:
        if node.name in on_host:
            for i, name in enumerate(node.input):
                node.input[i] = quantized.get(name, name)


def _read_values(model: onnx.ModelProto, ranges: Any, exclude: Collection[str], only: Collection[str]) -> list[str]:
    """Model inputs and values of the host that quantized nodes read, which a node that only moves would leave float."""
    kinds = set(_op_types())
    nodes = [n for n in model.graph.node if n.op_type in kinds and n.name not in exclude]
    read = {name for n in nodes if not only or n.name in only for name in n.input}
    floats = [v.name for v in model.graph.input if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    on_host = [name for n in model.graph.node if n.name in exclude for name in n.output if name in ranges]
    return [name for name in (*floats, *on_host) if name in read]


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
