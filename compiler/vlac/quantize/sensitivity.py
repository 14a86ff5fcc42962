"""Which layers lose most by quantization: the model's output with only one layer quantized, against the float model.

A layer is a Conv, ConvTranspose, Gemm or MatMul with the activation behind it: its weights, inputs and outputs are
rounded, everything else stays float. Low numbers say where a better range, equalization or training helps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.errors import CalibrationError
from vlac.model.labels import node_label
from vlac.model.onnx_runtime import OnnxSession
from vlac.quantize.calibration import Samples
from vlac.quantize.insert_qdq import insert_qdq
from vlac.quantize.static import Quantized

__all__ = ["LayerLoss", "layer_losses"]

_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_ACTIVATIONS = ("Relu", "Clip", "LeakyRelu", "PRelu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid")
_SAMPLES = 4


@dataclass(frozen=True)
class LayerLoss:
    """A layer and the signal-to-noise ratio in dB of the model's outputs when only it is quantized."""

    node: str
    op: str
    snr: float


def layer_losses(quantized: Quantized) -> list[LayerLoss]:
    """Layers from the one that loses most to the least; an entry "all" for the whole model comes first.

    Raises:
        CalibrationError: the model was quantized by another tool, so there is no float model.
    """
    model = quantized.floating
    if model is None:
        raise CalibrationError(
            "--sensitivity needs the float model; this one is quantized already, compile the float model with --calib"
        )
    samples = quantized.samples[:_SAMPLES]
    exact = _outputs(model, samples)
    rows = []
    for node in model.graph:
        if node.op_type in _LAYERS and node_label(node) not in quantized.host:
            only = [node_label(node), *_activation(node)]
            found = _outputs(insert_qdq(model, quantized.ranges, exclude=quantized.host, only=only), samples)
            rows.append(LayerLoss(node_label(node), node.op_type, _snr(exact, found)))
    whole = LayerLoss("all", "", _snr(exact, _outputs(quantized.model, samples)))
    return [whole, *sorted(rows, key=lambda r: r.snr)]


def _activation(node: ir.Node) -> list[str]:
    readers = node.outputs[0].consumers()
    return [node_label(n) for n in readers if len(readers) == 1 and n.op_type in _ACTIVATIONS]


def _outputs(model: ir.Model, samples: Samples) -> NDArray[np.float64]:
    """All outputs on all samples, one behind the other."""
    session = OnnxSession(model, optimized=True, integers=True)
    found: list[NDArray[Any]] = [array.reshape(-1) for s in samples for array in session.run(None, s)]
    return np.concatenate(found).astype(np.float64)


def _snr(exact: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    noise = float(((found - exact) ** 2).sum())
    return float(10 * np.log10((exact**2).sum() / noise)) if noise > 0 and exact.any() else float("inf")
