"""Bias correction: what rounding the weights adds to a layer's mean output is taken off its bias.

Rounding turns W into W + e, so a layer's output moves by e * x, on average by E[e * x] per output channel (Nagel et
al. 2019, section 4.2; here with calibration data instead of batch norm statistics, so any layer and any padding is
covered). All layers are measured in one run of a model that computes e * x beside each of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.reading import attribute, constant, constant_input
from vlac.quantize.calibration import Samples
from vlac.quantize.float_session import FloatSession
from vlac.rewrite.nodes import initializer

__all__ = ["correct_biases"]

F32 = NDArray[np.float32]


def correct_biases(model: ir.Model, qdq: ir.Model, samples: Samples) -> ir.Model:
    """A copy of the float model whose Conv and Gemm biases make up for the rounded weights of `qdq`."""
    shifts = _mean_shifts(model, _weight_errors(model, qdq), samples)
    copy = model.clone()
    for node in copy.graph:
        shift = shifts.get(node.name or "")
        if shift is None:
            continue
        before = constant_input(node, 2)
        bias = ((np.float32(0) if before is None else before.reshape(-1)) - shift).astype(np.float32)
        value = initializer(copy.graph, f"{node.name}.corrected_bias", bias)
        node.resize_inputs(3)
        node.replace_input_with(2, value)
    return copy


def _weight_errors(model: ir.Model, qdq: ir.Model) -> dict[str, F32]:
    """By node: quantized weight less float weight; only layers with a constant bias, or none, of beta 1."""
    rounded = {n.name: n.inputs[1] for n in qdq.graph if n.op_type in ("Conv", "Gemm")}
    out: dict[str, F32] = {}
    for node in model.graph:
        if node.name not in rounded or attribute(node, "beta", 1.0) != 1.0:
            continue
        weight, found = constant_input(node, 1), constant(rounded[node.name])
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        if weight is not None and found is not None and (bias is None or bias.const_value is not None):
            out[node.name or ""] = found - weight
    return out


def _mean_shifts(model: ir.Model, errors: Mapping[str, F32], samples: Samples) -> dict[str, F32]:
    """By node: mean of (error * x) over samples and pixels, float32 [O]."""
    if not errors:
        return {}
    probe = model.clone()
    results = []
    for node in list(probe.graph):
        if node.name not in errors:
            continue
        error = initializer(probe.graph, f"{node.name}.error", errors[node.name])
        attributes = {name: a.value for name, a in node.attributes.items()}
        twin = ir.node(node.op_type, [node.inputs[0], error], attributes)
        twin.outputs[0].name = f"{error.name}.result"
        probe.graph.append(twin)
        results.append(twin.outputs[0].name)
    session = FloatSession(probe, results)
    sums: dict[str, F32] = {}
    for sample in samples:
        for name, result in zip(errors, session.run(sample), strict=True):
            pixels = tuple(i for i in range(result.ndim) if i != 1)
            sums[name] = sums.get(name, np.float32(0)) + result.mean(axis=pixels)
    return {name: (total / len(samples)).astype(np.float32) for name, total in sums.items()}
