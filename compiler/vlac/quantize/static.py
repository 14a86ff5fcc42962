"""Float model to QDQ model with ONNX Runtime's calibrators and quantizer.

int8 weights, symmetric, per output channel; int8 activations, asymmetric, so that Relu and Clip are absorbed;
int32 biases round(b / (s_x * s_w)). Models that already hold Q/DQ are taken as they are.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType
from onnxruntime.quantization.quantize import quantize_static

from vlac.errors import CalibrationError, ModelError
from vlac.ops import OPS
from vlac.ops.spec import shape_of
from vlac.options import CompileOptions
from vlac.quantize.calibration import Samples, read_samples

__all__ = ["is_quantized", "quantize_model"]

_ORT_ERRORS = (ort.Fail, ort.InvalidArgument, ort.InvalidGraph, ort.NotImplemented, ort.RuntimeException, ValueError)
_WARNING, _FATAL = 2, 4  # severities of ONNX Runtime's log
_METHODS = {"minmax": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile}


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands samples to the calibrator one at a time."""

    def __init__(self, samples: Samples) -> None:
        self._left = iter(samples)

    def get_next(self) -> dict[str, Any] | None:
        """The next sample, or None."""
        return next(self._left, None)


def is_quantized(model: ir.Model) -> bool:
    """Whether the model holds QuantizeLinear or DequantizeLinear."""
    return any(n.op_type in ("QuantizeLinear", "DequantizeLinear") for n in model.graph)


def quantize_model(model: ir.Model, options: CompileOptions) -> onnx.ModelProto:
    """The QDQ model of a rewritten float model, or the model itself where it is quantized already.

    Raises:
        CalibrationError: no calibration data for a float model, or data that does not fit.
        ModelError: ONNX Runtime cannot run the model.
    """
    if is_quantized(model):
        return ir.to_proto(model)
    if options.calibration is None:
        raise CalibrationError(
            "the model is float and has no calibration data; give --calib DATA.npz with one array per "
            "input, --calib DIR with one .npz per sample, or --calib random:8 to try without data"
        )
    shapes = {str(v.name): shape_of(v) for v in model.graph.inputs}
    samples = read_samples(options.calibration, shapes)
    try:
        quantized = _quantize_static(model, samples, _METHODS[options.calibration_method])
    except _ORT_ERRORS as e:
        raise ModelError(
            f"ONNX Runtime cannot run or quantize the model: {str(e).strip()}; check that it runs there in float32"
        ) from e
    return quantized


def _quantize_static(model: ir.Model, samples: Samples, method: CalibrationMethod) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, target = Path(folder) / "float.onnx", Path(folder) / "qdq.onnx"
        onnx.save(_with_quantized_inputs(ir.to_proto(model)), source)
        quantize_static(
            source,
            target,
            _Reader(samples),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            op_types_to_quantize=[s.name for s in OPS if s.quantize],  # Identity among them
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=method,
            extra_options={
                "ActivationSymmetric": False,
                "WeightSymmetric": True,
                "ForceQuantizeNoInputCheck": True,  # also pools and views of values nothing else has quantized yet
            },
        )
        return onnx.load(target)


def _with_quantized_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """An Identity between a model input and each Relu or Clip of it: it gets the Q/DQ that those do not ask for."""
    inputs = {i.name for i in model.graph.input}
    for node in list(model.graph.node):
        if node.op_type in ("Relu", "Clip") and node.input[0] in inputs:
            name = f"{node.input[0]}:read{len(model.graph.node)}"
            model.graph.node.insert(0, onnx.helper.make_node("Identity", [node.input[0]], [name], name))
            node.input[0] = name
    return model


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
