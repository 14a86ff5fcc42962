"""Bias correction: what rounding the weights adds to a layer's mean output is taken off its bias.

Rounding turns W into W + e, so a layer's output moves by e * x, on average by E[e * x] per output channel (Nagel et
al. 2019, section 4.2; here with calibration data instead of batch norm statistics, so any layer and any padding is
covered). All layers are measured in one run of a model that computes e * x beside each of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from vlac.quantize.calibration import Samples

__all__ = ["correct_biases"]

F32 = NDArray[np.float32]


def correct_biases(model: onnx.ModelProto, qdq: onnx.ModelProto, samples: Samples) -> onnx.ModelProto:
    """A copy of the float model whose Conv and Gemm biases make up for the rounded weights of `qdq`."""
    errors = _weight_errors(model, qdq)
    shifts = _mean_shifts(model, errors, samples)
    out = onnx.ModelProto()
    out.CopyFrom(model)
    constants = {t.name: t for t in out.graph.initializer}
    for node in out.graph.node:
        if node.name not in shifts:
            continue
        shift = shifts[node.name]
        old = constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
        before = numpy_helper.to_array(old).reshape(-1) if old is not None else np.float32(0)
        name = f"{node.name}.corrected_bias"
        out.graph.initializer.append(numpy_helper.from_array((before - shift).astype(np.float32), name))
        del node.input[2:]
        node.input.append(name)
    return out


def _weight_errors(model: onnx.ModelProto, qdq: onnx.ModelProto) -> dict[str, F32]:
    """By node: quantized weight less float weight; only layers with a constant bias, or none, of beta 1."""
    floats = {t.name: t for t in model.graph.initializer}
    constants = {t.name: t for t in qdq.graph.initializer}
    dequantizers = {n.output[0]: n for n in qdq.graph.node if n.op_type == "DequantizeLinear"}
    rounded = {n.name: dequantizers.get(n.input[1]) for n in qdq.graph.node if n.op_type in ("Conv", "Gemm")}
    out: dict[str, F32] = {}
    for node in model.graph.node:
        source = rounded.get(node.name)
        bias_known = len(node.input) < 3 or not node.input[2] or node.input[2] in floats
        beta = next((a.f for a in node.attribute if a.name == "beta"), 1.0)
        if source is None or node.input[1] not in floats or not bias_known or beta != 1.0:
            continue
        q, scale = (numpy_helper.to_array(constants[name]) for name in source.input[:2])
        axis = next((a.i for a in source.attribute if a.name == "axis"), 1)
        shape = [-1 if i == axis else 1 for i in range(q.ndim)] if scale.size > 1 else [1] * q.ndim
        out[node.name] = q.astype(np.float32) * scale.reshape(shape) - numpy_helper.to_array(floats[node.input[1]])
    return out


def _mean_shifts(model: onnx.ModelProto, errors: Mapping[str, F32], samples: Samples) -> dict[str, F32]:
    """By node: mean of (error * x) over samples and pixels, float32 [O]."""
    if not errors:
        return {}
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    for node in model.graph.node:
        if node.name not in errors:
            continue
        error, twin, mean = (f"{node.name}.{part}" for part in ("error", "twin", "mean"))
        probe.graph.initializer.append(numpy_helper.from_array(errors[node.name], error))
        copy = helper.make_node(node.op_type, [node.input[0], error], [twin], name=twin)
        copy.attribute.extend(node.attribute)
        probe.graph.node.append(copy)
        if node.op_type == "Conv":
            probe.graph.node.append(helper.make_node("GlobalAveragePool", [twin], [mean], name=mean))
        result = mean if node.op_type == "Conv" else twin
        probe.graph.output.append(helper.make_tensor_value_info(result, onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    sums: dict[str, F32] = {}
    for sample in samples:
        for name, result in zip(errors, session.run(None, sample), strict=True):
            sums[name] = sums.get(name, np.float32(0)) + result.reshape(result.shape[:2]).mean(axis=0)
    return {name: (total / len(samples)).astype(np.float32) for name, total in sums.items()}
