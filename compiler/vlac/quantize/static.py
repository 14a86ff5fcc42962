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
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType
from onnxruntime.quantization.quantize import quantize_static

from vlac.errors import CalibrationError
from vlac.ops import OPS
from vlac.ops.spec import shape_of
from vlac.options import CompileOptions
from vlac.quantize.calibration import Samples, read_samples

__all__ = ["is_quantized", "quantize_model"]

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
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, target = Path(folder) / "float.onnx", Path(folder) / "qdq.onnx"
        onnx.save(ir.to_proto(model), source)
        quantize_static(
            source,
            target,
            _Reader(samples),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            op_types_to_quantize=[s.name for s in OPS if s.quantize],
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=_METHODS[options.calibration_method],
            extra_options={
                "ActivationSymmetric": False,
                "WeightSymmetric": True,
                "ForceQuantizeNoInputCheck": True,  # also pools and views of values nothing else has quantized yet
            },
        )
        quantized = onnx.load(target)
    _quantize_inputs_once(quantized)
    return quantized


def _quantize_inputs_once(model: onnx.ModelProto) -> None:
    """Let every reader of a model input that is quantized for one of them read the quantized value.

    ORT's quantizer leaves Relu and Clip in float when it meets them before the input's other readers.
    """
    inputs = {i.name for i in model.graph.input}
    quantized = {n.input[0]: n.output[0] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    dequantized = {n.input[0]: n.output[0] for n in model.graph.node if n.op_type == "DequantizeLinear"}
    moved = {x: dequantized[q] for x, q in quantized.items() if x in inputs and q in dequantized}
    late = [n for n in model.graph.node if n.op_type != "QuantizeLinear" and set(n.input) & set(moved)]
    if not late:
        return
    for node in late:
        node.input[:] = [moved.get(name, name) for name in node.input]
    ordered = ir.from_proto(model)
    ordered.graph.sort()  # the readers may stand in front of the quantizer
    model.CopyFrom(ir.to_proto(ordered))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantizer's hints about its own pre-processing off the terminal."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(previous)
